"""What runs an ONNX file: OpenVINO on the CPU, ONNX Runtime on CUDA."""

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from deployments.engines.equip import has_openvino
from deployments.engines.settings import EngineSettings
from deployments.models.checkpoints.weights_cache import file_sha256
from deployments.models.converted import converted_folder
from deployments.models.onnx.file import Signature
from deployments.models.onnx.tensors import MOST_TENSOR_BYTES

Run = Callable[[Tensor], dict[str, NDArray[Any]]]
"""From pictures of the file's shape and dtype, on the device, to its outputs by name."""


def open_network(path: Path, signature: Signature, device: torch.device) -> Run:
    """Compile a checked file for a device. Raises ValueError where its engine cannot run the file, or is not there."""
    if device.type == "cuda":
        return OnnxRuntimeNetwork(path, signature, device)
    return OpenVinoFile(path, signature, torch.get_num_threads())


class OpenVinoFile:
    """Runs on the CPU."""

    def __init__(self, path: Path, signature: Signature, threads: int) -> None:
        if not has_openvino():
            raise ValueError("architecture onnx on the CPU needs OpenVINO, which is not installed here")
        # here, as a GPU's replica loads none of it
        from deployments.engines.openvino_network import OpenVinoNetwork
        from deployments.engines.openvino_runtime import openvino
        from deployments.engines.store import Store

        compiled = Store(converted_folder() / _identity(path, signature)).compiled
        try:
            # By its name: left to choose, OpenVINO would try every format that it knows.
            reader = openvino.frontend.FrontEndManager().load_by_framework("onnx")
            self.model = reader.convert(reader.load(str(path)))
            _check_sizes(self.model)
            self.network = OpenVinoNetwork(self.model, EngineSettings(threads=threads), compiled)
        except ValueError:
            raise
        except Exception as error:  # its classes have only that in common
            raise ValueError(f"OpenVINO cannot run the file: {_last_line(error)}") from error
        places = {name: i for i, output in enumerate(self.model.outputs) for name in output.get_names()}
        self.places = {name: places[name] for name in signature.outputs}
        self.accepted = {signature.shape}

    def __call__(self, images: Tensor) -> dict[str, NDArray[Any]]:
        """Raises ValueError where the file is not for pictures of this shape."""
        shape = tuple(images.shape)
        if shape not in self.accepted:
            self._check_shape(shape)
            self.accepted.add(shape)
        try:
            found = self.network([images.numpy()])
        except RuntimeError as error:
            raise ValueError(f"the file fails on {list(shape)}: {_last_line(error)}") from error
        return {name: found[place] for name, place in self.places.items()}

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError where the network's shapes do not fit pictures of this one, or are too large to be.

        The CPU plugin does not look: where a file leaves sides open that its graph does not, it answers what happens
        to be in memory.
        """
        model = self.model.clone()
        try:
            model.reshape(list(shape))
        except RuntimeError as error:
            raise ValueError(f"the file fails on {list(shape)}: {_last_line(error)}") from error
        _check_sizes(model)


def _identity(path: Path, signature: Signature) -> str:
    """Of a file and its external data, by which what is compiled of them is kept."""
    files = (path, *(path.parent / name for name in signature.data_files))
    return hashlib.sha256(" ".join(map(file_sha256, files)).encode()).hexdigest()


def _check_sizes(model: Any) -> None:
    """Raise ValueError where OpenVINO knows of a computed tensor that is too large to be."""
    for operator in model.get_ops():
        for output in operator.outputs():
            shape = output.get_partial_shape()
            if shape.is_static:
                size = math.prod(side.get_length() for side in shape) * output.get_element_type().size
                if size > MOST_TENSOR_BYTES:
                    name = operator.get_friendly_name()[:100]
                    raise ValueError(f"the value {name!r} has {size} bytes; at most {MOST_TENSOR_BYTES} are taken")


def _last_line(error: Exception) -> str:
    """Of an engine's message, whose first lines are places in its source."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1][:500] if lines else type(error).__name__


class OnnxRuntimeNetwork:
    """Runs on CUDA, from pictures that are there; its outputs come to the CPU."""

    def __init__(self, path: Path, signature: Signature, device: torch.device) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ValueError(missing(device)) from error
        provider = "CUDAExecutionProvider" if device.type == "cuda" else "CPUExecutionProvider"
        options: dict[str, Any] = {}
        if device.type == "cuda":
            # TensorFloat-32 has 10 bits only, and answers would depend on their batch.
            options = {"device_id": device.index or 0, "use_tf32": 0}
        if provider not in onnxruntime.get_available_providers():
            raise ValueError(missing(device))
        if device.type == "cuda":
            onnxruntime.preload_dlls()  # those of CUDA that came with torch
        try:
            self.session = onnxruntime.InferenceSession(str(path), providers=[(provider, options)])
        except Exception as error:  # as above
            raise ValueError(f"ONNX Runtime cannot run the file: {str(error)[:500]}") from error
        # It falls back to the CPU without a word where CUDA does not load.
        if self.session.get_providers()[0] != provider:
            raise ValueError(f"ONNX Runtime found no working {device.type}: {missing(device)}")
        self.signature = signature

    def __call__(self, images: Tensor) -> dict[str, NDArray[Any]]:
        """Raises ValueError where the file fails on pictures of this shape."""
        images = images.contiguous()
        if images.is_cuda:
            torch.cuda.current_stream(images.device).synchronize()  # it has a stream of its own
        binding = self.session.io_binding()
        binding.bind_input(
            self.signature.input,
            images.device.type,
            images.device.index or 0,
            self.signature.dtype.type,
            tuple(images.shape),
            images.data_ptr(),
        )
        for name in self.signature.outputs:
            binding.bind_output(name)
        try:
            self.session.run_with_iobinding(binding)
        except Exception as error:  # as above
            raise ValueError(f"the file fails on {list(images.shape)}: {str(error)[:500]}") from error
        return dict(zip(self.signature.outputs, binding.copy_outputs_to_cpu(), strict=True))


def missing(device: torch.device) -> str:
    """What to install."""
    return f"architecture onnx on {device.type} needs ONNX Runtime's GPU package: pip install 'maskgraph[onnx-gpu]'"
