"""The plain alternative: ``uvicorn benchmarks.peers.fastapi_app:app --workers 2``, eager PyTorch, one thread a worker.

PEER_PRECISION (float32, bfloat16) runs the networks in the service's engine instead.
"""

import os

from fastapi import FastAPI, HTTPException, Request

from benchmarks.peers.networks import analyze, eager, same_engine
from deployments.imaging.decode import ImageError

app = FastAPI()
precision = os.environ.get("PEER_PRECISION")
models = same_engine(1, precision) if precision else eager(1)


@app.get("/ready")
def ready() -> bool:
    return True


@app.post("/analyze")
async def post(request: Request) -> object:
    try:
        return analyze(models, await request.body())
    except ImageError as error:
        raise HTTPException(400, str(error)) from error
