"""What all model deployments share: a model behind a batcher, with thresholds and budget that may change meanwhile."""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from deployments.batching.batcher import Batcher
from deployments.batching.budget import BatchBudget
from deployments.batching.fastest import fastest_batch
from deployments.batching.observer import BatchObserver
from deployments.batching.ticket import HUNG, BatcherClosed, DeadlineExceeded, QueueFull
from deployments.calls import (
    Answer,
    Call,
    CallExpired,
    Item,
    OtherModel,
    Pixels,
    ReplicaHung,
    ReplicaOverloaded,
    TaskOptions,
    threshold_names,
)
from deployments.engines.graphs import capturing
from deployments.engines.memory import memory_errors
from deployments.engines.overlap import Overlap
from deployments.models.card import OPTIONS
from deployments.models.model import Model
from deployments.settings import ReplicaSettings
from deployments.shared_pixels import SharedPixels
from deployments.warm_up import expected_pictures

# The logger that Serve shows of a replica.
logger = logging.getLogger("ray.serve")

WARM_UP_SIZES = ((480, 640), (640, 480))
"""Height and width of the pictures that run before a replica is ready."""
MOST_IMAGES = 64
"""Of a batch that is tried before a replica is ready."""
WARM_UP_S = 60.0
"""After which a replica that is not warm in every shape begins to answer all the same."""
HEALTH_INTERVAL_S = 5.0
"""A model that answered this recently, and failed on nothing since it was last checked, is healthy without a run."""
SHORTAGES = 3
"""Pictures that run out of memory by themselves, with no answer between them, after which memory has leaked."""
LEAST_CALL_LIMIT_S = 15.0
"""No batch hangs before: the first one of a new shape may take seconds on a GPU."""
HANGS_AFTER = 20
"""Times what the slowest warm-up took."""


class Replica:
    """Serves one model in one process; needs no Ray."""

    def __init__(self, model: Model[Any, Any], observer: BatchObserver | None = None, name: str = "local") -> None:
        self.model = model
        self.name = name
        """By which its batches are known among those of other replicas."""
        self.settings = ReplicaSettings()
        self._fastest = MOST_IMAGES
        self._last_answer = time.monotonic()
        self._suspect = False
        self._shortages = 0
        self._observer = observer or BatchObserver()
        overlap = Overlap[list[Item], Any, list[Any]](model.device)
        self._collate = memory_errors(overlap.collating(model.collate))
        self._run = memory_errors(overlap.running(model.run))
        self._batcher = Batcher(
            self._collate, self._run, model.padded_shape, self._budget(), lanes=model.lanes, observer=self._observer
        )
        took = []
        for height, width in WARM_UP_SIZES:
            started = time.monotonic()
            item = self._blank(height, width)
            model.finish(item, self._run(self._collate([item]))[0])
            took.append(time.monotonic() - started)
        self._batcher.call_limit_s = max(LEAST_CALL_LIMIT_S, HANGS_AFTER * max(took))

    def measure_batches(self) -> None:
        """Bound batches by what is worth while on this device; a setting can only lower it. Before the first call."""
        item = self._blank(*WARM_UP_SIZES[0])
        # Lanes share the cores, so what a batch saves is CPU; its own time also tells of what else the machine does.
        clock = time.process_time if self.model.lanes > 1 else time.perf_counter
        self._fastest = fastest_batch(lambda size: self._run(self._collate([item] * size)), MOST_IMAGES, clock=clock)
        logger.info(
            "%s: batches of up to %d images, %d at a time", self.model.card.name, self._fastest, self.model.lanes
        )
        self._batcher.budget = self._budget()

    def warm_up(self) -> None:
        """Run all shapes and batch sizes that are to be expected, before the first call: on a GPU a first one is slow.

        For no longer than WARM_UP_S and what one run takes; single pictures come first, and common shapes.
        """
        pictures = expected_pictures(lambda height, width: self.model.padded_shape(self._blank(height, width)))
        sizes = [1 << power for power in range(self._fastest.bit_length())]
        pairs = [(self._blank(*picture), size) for size in sizes for picture in pictures]
        started, done = time.monotonic(), 0
        with capturing():
            for item, size in pairs:
                if time.monotonic() - started > WARM_UP_S:
                    break
                try:
                    self._run_networks(item, size)
                except MemoryError:
                    break
                done += 1
        logger.info("%s: %d of %d shapes and batch sizes are warm", self.model.card.name, done, len(pairs))

    def reconfigure(self, user_config: Mapping[str, Any]) -> None:
        """Take over thresholds and batch budget. Raises ValueError for a setting that is unknown or out of range."""
        settings = ReplicaSettings.model_validate(user_config)
        known = threshold_names(OPTIONS[self.model.card.task])
        for name in settings.thresholds:
            if name not in known:
                raise ValueError(f"unknown threshold {name!r} for {self.model.card.task}; known: {', '.join(known)}")
        self.settings = settings
        self._batcher.budget = self._budget()

    async def __call__(self, pixels: Pixels, call: Call) -> Answer:
        """Answer for one image, prepared as the model's ImageSpec says: uint8 RGB [h, w, 3].

        Raises OtherModel, NotShared, CallExpired, ReplicaOverloaded, Hung, or what the model raised for this image.
        """
        if call.card not in (None, self.model.card.digest):
            raise OtherModel(self.model.card.model_dump_json())
        image = pixels.open() if isinstance(pixels, SharedPixels) else pixels
        item = Item(image, replace(call, options=self._with_defaults(call.options)))
        deadline = time.monotonic() + call.deadline - time.time()
        try:
            outcome = await self._batcher.submit(item, deadline)
        except DeadlineExceeded as error:
            raise CallExpired("the deadline passed before the model ran") from error
        except (QueueFull, BatcherClosed) as error:
            raise ReplicaOverloaded(str(error)) from error
        except MemoryError as error:
            self._suspect = True
            self._shortages += 1
            raise ReplicaOverloaded("there is not enough memory for the image") from error
        except Exception:
            self._suspect = True
            raise
        finished = time.monotonic()
        results = await asyncio.to_thread(self.model.finish, item, outcome.result)
        self._last_answer = time.monotonic()
        self._shortages = 0
        finish_s = self._last_answer - finished
        self._observer.finished(finish_s)
        queue_ms, run_ms = (round(seconds * 1000, 2) for seconds in (outcome.queue_s, outcome.run_s + finish_s))
        return Answer(results, queue_ms, run_ms, f"{self.name}-{outcome.batch}")

    async def ready(self) -> dict[str, float]:
        """The thresholds that the settings give. Answers only once the model is loaded and warm.

        Raises ReplicaHung while its device hangs.
        """
        if self._batcher.hung:
            raise ReplicaHung(HUNG)
        return self.settings.thresholds

    async def check_health(self) -> None:
        """Run the network on a blank picture, unless it has just answered and failed on nothing.

        So a picture that fails by itself harms no replica. Raises what the run raises: Hung, NotFinite, or whatever the
        network does; MemoryError where memory ran out again and again.
        """
        if self._shortages >= SHORTAGES:
            raise MemoryError(f"{self._shortages} images in a row ran out of memory")
        if not self._suspect and time.monotonic() - self._last_answer < HEALTH_INTERVAL_S:
            return
        await self._batcher.submit(self._blank(*WARM_UP_SIZES[0]))
        self._suspect = False
        self._last_answer = time.monotonic()

    async def close(self) -> None:
        """Finish what was accepted, then stop the threads."""
        await self._batcher.close()

    def _budget(self) -> BatchBudget:
        return BatchBudget(min(self.settings.max_batch_images, self._fastest), self.settings.max_batch_pixels)

    def _with_defaults(self, options: TaskOptions) -> TaskOptions:
        """The settings' thresholds, where a request leaves them open; the card's are the model's own business."""
        open_ones = {k: v for k, v in self.settings.thresholds.items() if getattr(options, k) is None}
        return replace(options, **open_ones)  # type: ignore[arg-type]

    def _run_networks(self, item: Item, size: int) -> None:
        """Run a batch of so many of this item; then each network, since second stages see nothing of blank pictures."""
        raw = self._run(self._collate([item] * size))
        self.model.finish(item, raw[0])
        with torch.inference_mode():
            images = torch.zeros(size, 3, *self.model.padded_shape(item), device=self.model.device)
            for network, inputs in self.model.examples(images):
                network(*inputs)

    def _blank(self, height: int, width: int) -> Item:
        card = self.model.card
        image = np.zeros((*card.image.resized_size(height, width), 3), np.uint8)
        options = self._with_defaults(OPTIONS[card.task]())
        return Item(image, Call(height, width, options, deadline=float("inf"), request_id="warm-up"))
