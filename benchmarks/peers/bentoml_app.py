"""BentoML around the same networks, eager, a worker a core: ``bentoml serve benchmarks.peers.bentoml_app:Photos``."""

import os
from dataclasses import asdict
from typing import Annotated, Any

import bentoml
from bentoml.validators import ContentType

from benchmarks.peers.networks import analyze, eager


@bentoml.service(workers=len(os.sched_getaffinity(0)), traffic={"timeout": 120})
class Photos:
    def __init__(self) -> None:
        self.models = eager(1)

    @bentoml.api
    def analyze(self, photo: Annotated[bytes, ContentType("image/jpeg")], /) -> dict[str, Any]:
        return {task: [asdict(each) for each in found] for task, found in analyze(self.models, photo).items()}
