"""Imports torchvision without torch's compiler: a second of CPU and 95 MB less in each process that serves a model.

torchvision.ops.roi_align imports all of torch._dynamo for one function, which says whether it could be compiled. While
torchvision is imported, a module with that function stands in; the function fetches the real one when it is called.
Call ``import_torchvision`` before anything of torchvision's is imported.
"""

import importlib
import sys
from types import ModuleType
from typing import Any

COMPILER = "torch._dynamo"
UTILITIES = "torch._dynamo.utils"


def is_compile_supported(device_type: str) -> bool:
    """The real function's answer, whose module is imported now."""
    supported: bool = importlib.import_module(UTILITIES).is_compile_supported(device_type)
    return supported


def import_torchvision() -> None:
    """Import it, leanly unless the compiler is there already."""
    importlib.import_module("torch")  # whole, before anything stands in
    if "torchvision" in sys.modules or COMPILER in sys.modules:
        return
    utilities = ModuleType(UTILITIES)
    stand_ins = {COMPILER: ModuleType(COMPILER), UTILITIES: utilities}

    def remove() -> None:
        for name, module in stand_ins.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]

    def other(name: str) -> Any:
        """What another version of torchvision imports besides: the real one."""
        if name.startswith("__"):  # the import system's questions
            raise AttributeError(name)
        remove()
        return getattr(importlib.import_module(UTILITIES), name)

    vars(utilities).update(is_compile_supported=is_compile_supported, __getattr__=other)
    sys.modules.update(stand_ins)
    try:
        importlib.import_module("torchvision")
    finally:
        remove()
