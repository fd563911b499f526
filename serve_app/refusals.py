"""Which protocol's form a refusal takes, by the path asked for. Loads little, since Serve's proxies import it."""

import re
from collections.abc import Callable

from starlette.responses import Response

from serve_app.http.errors import RequestError, error_response
from serve_app.protocols.kserve.refusal import refusal as kserve
from serve_app.protocols.open_inference.refusal import refusal as open_inference
from serve_app.protocols.paddlehub.refusal import refusal as paddlehub
from serve_app.protocols.paddlehub.refusal import refusal_of_1x as paddlehub_1x
from serve_app.protocols.roboflow.refusal import refusal as roboflow

# Searched for, not matched: the application may lie below a prefix.
FORMS: tuple[tuple[re.Pattern[str], Callable[[RequestError], Response]], ...] = (
    (re.compile("/v1/models(/|$)"), kserve),
    (re.compile("/v2(/|$)"), open_inference),
    (re.compile("/predict/image/"), paddlehub_1x),
    (re.compile("/predict/"), paddlehub),
    (re.compile("/infer/[a-z_]+$|/model/add$|/(mask_detection|instance_segmentation|object_detection)/"), roboflow),
)


def write_refusal(path: str, error: RequestError) -> Response:
    """The refusal in the form of the path's protocol; the native one for all other paths."""
    return next((write for pattern, write in FORMS if pattern.search(path)), error_response)(error)
