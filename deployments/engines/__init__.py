"""How networks run: in OpenVINO on the CPU, in eager torch on CUDA and where OpenVINO has no wheel.

A network is a ``torch.nn.Module`` that takes tensors and gives tensors. ``equip`` gives the networks of a model their
engine: it replaces their ``forward``, so the code around them calls them as before. It needs two examples of what each
network is called with; axes that differ between the two are free, all others are fixed:

    lanes = equip(smaller, larger, torch.device("cpu"), Settings(precision="float32"), Store(folder, key))

``lanes`` is how many calls may run at a time, each on a thread of its own. A file that OpenVINO reads itself, such as
ONNX, needs no module: ``OpenVinoNetwork(openvino_core().read_model(path), settings, cache)`` is called with a list of
numpy arrays and gives a list of numpy arrays, from as many threads at once.
"""
