import subprocess
import sys


def run(program: str) -> str:
    """In a process of its own, since imports stay."""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def test_an_embedded_model_loads_without_the_compiler() -> None:
    program = """
import sys
from deployments.models.lean_torchvision import import_torchvision
import_torchvision()
import torch
from deployments.models.face_mask.model import FaceMaskModel
from torchvision.ops import roi_align
box = torch.tensor([[0.0, 0.0, 8.0, 8.0]])
print(roi_align(torch.ones(1, 1, 8, 8), [box], 2).sum().item(), "torch._dynamo" in sys.modules)
"""
    assert run(program) == "4.0 False"


def test_the_compiler_is_there_for_who_wants_it() -> None:
    program = """
from deployments.models.lean_torchvision import import_torchvision, is_compile_supported
import_torchvision()
import torch
from torchvision.ops import roi_align
import torch._dynamo.utils
real = torch._dynamo.utils.is_compile_supported
print(is_compile_supported is not real and is_compile_supported("cpu") == real("cpu"))
"""
    assert run(program) == "True"


def test_other_names_come_from_the_real_module() -> None:
    program = """
import sys
from types import ModuleType
import deployments.models.lean_torchvision as lean
asked = []
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            from torch._dynamo.utils import counters
            asked.append(type(counters).__name__)
sys.meta_path.insert(0, Finder())
lean.import_torchvision()
print(asked)
"""
    assert run(program) == "['defaultdict']"
