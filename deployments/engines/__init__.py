"""How networks run: in OpenVINO on the CPU, in torch with CUDA graphs on CUDA, in eager torch elsewhere.

A network is a ``torch.nn.Module`` that takes tensors and gives tensors. ``equip`` replaces the ``forward`` of a model's
networks by their engine, so that the code around them calls them as before. It needs two examples of what each network
is called with; axes in which the two differ are free, all others are fixed:

    smaller = [(network, (torch.rand(2, 3, 64, 96),))]
    larger = [(network, (torch.rand(3, 3, 96, 160),))]
    lanes = equip(smaller, larger, torch.device("cpu"), EngineSettings("float32"), folder)

``lanes`` is how many threads may call the networks at a time. ``models.load`` does this for every model.

A file that OpenVINO reads itself needs no module: ``OpenVinoNetwork(core().read_model(path), settings)`` takes a list
of numpy arrays and gives one, from ``settings.lanes`` threads at a time. ``openvino`` comes from ``openvino_runtime``.
"""
