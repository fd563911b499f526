"""What an engine is told by the operator and by the machine."""

from dataclasses import dataclass, field
from typing import Literal

from deployments.engines.cores import lanes_for, usable_cores
from deployments.engines.precision import Precision

EngineName = Literal["auto", "eager"]


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """threads: CPU threads of one model, by default all cores that this process may use, since a busy model may take
    what the others leave idle."""

    precision: Precision = "float32"
    threads: int = field(default_factory=usable_cores)
    engine: EngineName = "auto"
    """``auto`` is OpenVINO on the CPU where it is installed and converts the network, else eager torch; on CUDA torch
    with graphs."""

    @property
    def lanes(self) -> int:
        """Calls at a time, which share the threads."""
        return lanes_for(self.threads)
