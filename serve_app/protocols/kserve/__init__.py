"""KServe V1, which is TensorFlow Serving's REST API too."""
