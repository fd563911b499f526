"""LitServe around the same networks, eager, a worker a core: ``python -m benchmarks.peers.litserve_app PORT``."""

import base64
import os
import sys
from dataclasses import asdict
from typing import Any

import litserve

from benchmarks.peers.networks import analyze, eager


class Photos(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.models = eager(1)

    def decode_request(self, request: dict[str, str]) -> bytes:
        return base64.b64decode(request["image"])

    def predict(self, photo: bytes) -> dict[Any, Any]:
        return analyze(self.models, photo)

    def encode_response(self, results: dict[str, Any]) -> dict[str, Any]:
        return {task: [asdict(each) for each in found] for task, found in results.items()}


if __name__ == "__main__":
    cores = len(os.sched_getaffinity(0))
    server = litserve.LitServer(Photos(api_path="/analyze"), accelerator="cpu", workers_per_device=cores, timeout=120)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
