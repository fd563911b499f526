"""The actor of a batch run: the served pipeline and models in one process."""

import asyncio
import logging
from typing import Any

from serve_app.analysis import Analysis, AnalyzeRequest, EncodedImage, Failure, ImageAnalysis
from serve_app.protocols.native.answer import write_answer
from serve_app.settings import Settings

logger = logging.getLogger(__name__)

NO_DEADLINE_S = 7 * 24 * 3600.0
BATCH = {"max_batch_images": 32, "max_batch_pixels": 32 * 1024 * 1024}
"""At most; what is worth while on the device is measured at the start."""
ON_A_CPU = 4
"""Pictures at a time, of a worker without a GPU."""


def offline(settings: Settings) -> Settings:
    """The same, for pictures that nobody waits for: none is refused because others are ahead of it."""
    return settings.model_copy(update={"timeout_s": NO_DEADLINE_S, "bytes_in_flight": 1 << 50})


class Analyst:
    """Answers a row at a time, several at once."""

    def __init__(self, settings: Settings) -> None:
        from serve_app.local import LocalBranch, build_local  # torch, which the process that starts the run can spare

        self.pipeline = build_local(offline(settings))
        for branch in self.pipeline.branches.values():
            assert isinstance(branch, LocalBranch)
            branch.replica.reconfigure(BATCH)
            branch.replica.measure_batches()

        # One decodes while another runs; more gain nothing on a core, and a device takes whatever waits as a batch.
        self.turns = asyncio.Semaphore(ON_A_CPU if settings.device == "cpu" else BATCH["max_batch_images"])

    async def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Of ``path``, ``data``, ``problem``: ``path``, and ``answer``, what the service would write, as JSON."""
        if row["problem"] is not None:
            return {"path": row["path"], "answer": await self._write(failed("unreadable_file", row["problem"]))}
        try:
            async with self.turns:
                analysis = await self.pipeline.analyze(AnalyzeRequest([EncodedImage(row["data"])], row["path"]))
        except Exception:
            logger.exception("%s failed", row["path"])
            analysis = failed("internal", "failed on this image")
        return {"path": row["path"], "answer": await self._write(analysis)}

    async def _write(self, analysis: Analysis) -> bytes:
        return await write_answer(self.pipeline, analysis, "rle", "", None)


def failed(code: str, message: str) -> Analysis:
    """The answer for a picture that was not analysed."""
    return Analysis([ImageAnalysis(None, errors=[Failure(code, message)])], {}, 0.0)
