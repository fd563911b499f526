"""The client of a running service: ``Client``, ``AsyncClient``, and what they answer.

It needs httpx, numpy and Pillow, and none of the service's own packages: ``pip install maskgraph[client]``.
"""

from deployments.imaging.polygons import Polygon
from deployments.results import RLE, Box, Detection, Face
from serve_app.client.client import AsyncClient, Client
from serve_app.client.errors import (
    BadRequest,
    ConnectionLost,
    DeadlineExceeded,
    MaskgraphError,
    Overloaded,
    ServiceFault,
    ServiceUnreachable,
    Unauthorized,
)
from serve_app.client.exports import to_coco
from serve_app.client.options import Options
from serve_app.client.photos import Photo
from serve_app.client.results import Analysis, Failure, Instance, Person, read_answer

__all__ = [
    "RLE",
    "Analysis",
    "AsyncClient",
    "BadRequest",
    "Box",
    "Client",
    "ConnectionLost",
    "DeadlineExceeded",
    "Detection",
    "Face",
    "Failure",
    "Instance",
    "MaskgraphError",
    "Options",
    "Overloaded",
    "Person",
    "Photo",
    "Polygon",
    "ServiceFault",
    "ServiceUnreachable",
    "Unauthorized",
    "read_answer",
    "to_coco",
]
