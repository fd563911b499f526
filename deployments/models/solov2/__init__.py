"""SOLOv2 instance segmentation (Wang et al., NeurIPS 2020)."""
