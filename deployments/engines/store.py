"""Converted networks on disk, so that a start need not convert them again."""

import logging
import os
import shutil
from pathlib import Path
from tempfile import mkdtemp

from deployments.engines.openvino_runtime import core, openvino

# The logger that Serve shows of a replica.
logger = logging.getLogger("ray.serve")


class Store:
    """Networks of one model, each a folder that appears under its name only once it is whole.

    So any number of processes may share it. Where it cannot be written, one log line says so.
    """

    def __init__(self, folder: Path) -> None:
        """folder: of these weights, this code and these versions alone; made where it is missing."""
        self.folder = folder
        try:
            (folder / "compiled").mkdir(parents=True, exist_ok=True)
            self._writable = os.access(folder, os.W_OK)
        except OSError:
            self._writable = False
        if not self._writable:
            logger.warning("%s cannot be written, so networks are converted at every start", folder)

    @property
    def compiled(self) -> Path | None:
        """A folder for what OpenVINO compiles."""
        return self.folder / "compiled" if self._writable else None

    def read(self, name: str) -> openvino.Model | None:
        """The network of this name; None where there is none, or it is damaged."""
        path = self.folder / name / "network.xml"
        if not path.is_file():
            return None
        try:
            return core().read_model(path)
        except RuntimeError:
            self.discard(name, "it is damaged")
            return None

    def write(self, name: str, model: openvino.Model) -> None:
        """Keep a network, unless another process was quicker, whose is as good."""
        if not self._writable:
            return
        partial = Path(mkdtemp(prefix=f"{name}.", dir=self.folder))
        try:
            openvino.save_model(model, partial / "network.xml", compress_to_fp16=False)
            partial.rename(self.folder / name)
        except (OSError, RuntimeError) as error:
            if not (self.folder / name).is_dir():
                logger.warning("a converted network was not kept: %s", error)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def discard(self, name: str, reason: str) -> None:
        """Forget a network that was read."""
        logger.warning("%s is converted again: %s", self.folder / name, reason)
        shutil.rmtree(self.folder / name, ignore_errors=True)
