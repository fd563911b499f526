"""Every target by its name, and the module that makes it.

A process imports, and instruments, only what its own target needs.
"""

from importlib import import_module

from benchmarks.fuzzing.target import Target

MODULES = {
    "pictures": ("jpeg", "png", "webp", "gif", "bmp", "tiff", "avif", "heic"),
    "texts": ("base64", "run_lengths"),
    "requests": ("native", "multipart", "kserve", "open_inference", "paddlehub", "roboflow"),
    "calls": ("open_inference_grpc", "tf_serving_grpc"),
    "yaml_files": ("model_card", "key_file", "config"),
    "model_files": ("torch_archive", "torch_pickle", "torch_legacy", "paddle", "safetensors", "onnx"),
}
TARGETS = {target: module for module, targets in MODULES.items() for target in targets}


def made(name: str) -> Target:
    """The target: what the function of this name in its module gives."""
    target: Target = getattr(import_module(f"benchmarks.fuzzing.{TARGETS[name]}"), name)()
    return target
