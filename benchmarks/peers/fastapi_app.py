"""The plain alternative: ``uvicorn benchmarks.peers.fastapi_app:app --workers 2``, eager PyTorch, one thread a worker.

PEER_PRECISION (float32, bfloat16) runs the networks in the service's engine instead.
"""

import os
from typing import Annotated, Any

from fastapi import Body, FastAPI, HTTPException

from benchmarks.peers.networks import analyze, eager, same_engine
from deployments.imaging.decode import ImageError

app = FastAPI()
precision: Any = os.environ.get("PEER_PRECISION")
models = same_engine(1, precision) if precision else eager(1)


@app.get("/ready")
def ready() -> bool:
    return True


# Not async: FastAPI then calls it on a thread. An async one blocks its worker, and of two clients whose connections one
# worker has taken, one waits while the other worker is idle: 3.0 answers a second in place of 5.6.
@app.post("/analyze")
def post(photo: Annotated[bytes, Body(media_type="image/jpeg")]) -> Any:
    try:
        return analyze(models, photo)
    except ImageError as error:
        raise HTTPException(400, str(error)) from error
