"""A network compiled by OpenVINO for this machine's CPU."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from deployments.engines.openvino_runtime import core, openvino
from deployments.engines.settings import EngineSettings

PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoNetwork:
    """May be called from ``settings.lanes`` threads at a time; more of them wait."""

    def __init__(self, model: openvino.Model, settings: EngineSettings, compiled_folder: Path | None = None) -> None:
        """model: as OpenVINO reads or converts it; compiled_folder: keeps what compiling gives for the next process.

        Raises RuntimeError where OpenVINO cannot compile it, OSError where the folder cannot be written.
        """
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[settings.precision],
            "INFERENCE_NUM_THREADS": settings.threads,
            "NUM_STREAMS": settings.lanes,
            # Pinned, the replicas of several models would share some cores and leave the others idle.
            "ENABLE_CPU_PINNING": False,
        }
        if compiled_folder is not None:
            options["CACHE_DIR"] = str(compiled_folder)
        # OpenVINO writes its cache in place: without the lock another process could read half a file.
        with nullcontext() if compiled_folder is None else FileLock(compiled_folder / "lock"):
            compiled = core().compile_model(model, "CPU", options)
        self._idle: SimpleQueue[openvino.InferRequest] = SimpleQueue()
        for _ in range(settings.lanes):
            self._idle.put(compiled.create_infer_request())

    def __call__(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """One array an output, in the model's order; they are the caller's own. Contiguous inputs are not copied."""
        request = self._idle.get()
        try:
            found = request.infer([np.ascontiguousarray(each) for each in inputs], share_inputs=True)
            return [found[index] for index in range(len(found))]
        finally:
            self._idle.put(request)
