"""Bodies of Roboflow's requests."""

import base64
from typing import Any

import numpy as np

from tests.photos import png
from tests.serve_app.conftest import HEIGHT, WIDTH

FACES = "/infer/object_detection"
INSTANCES = "/infer/instance_segmentation"
FACES_ID, INSTANCES_ID = "mask_detection/1", "instance_segmentation/1"
Body = dict[str, Any]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def picture(data: bytes) -> Body:
    return {"type": "base64", "value": b64(data)}


GOOD = png(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
