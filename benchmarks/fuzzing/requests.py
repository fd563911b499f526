"""Requests of every protocol over HTTP."""

import base64
import gzip
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.fuzzing.pictures import encoded, picture
from benchmarks.fuzzing.service import HttpService
from benchmarks.fuzzing.target import Target

PICTURE = encoded(picture(), "PNG")
B64 = base64.b64encode(PICTURE).decode()
JSON = "Content-Type: application/json"


def written(target: str, body: bytes | Mapping[str, Any], *headers: str, method: str = "POST") -> bytes:
    """A request as ``HttpService.check`` takes it."""
    if not isinstance(body, bytes):
        body, headers = json.dumps(body).encode(), (JSON, *headers)
    return "\n".join([f"{method} {target}", *headers]).encode() + b"\n\n" + body


def form(target: str, field: str, **texts: str) -> bytes:
    """A multipart request with a picture in ``field``."""
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{text}'.encode() for name, text in texts.items()]
    file = f'Content-Disposition: form-data; name="{field}"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in [*parts, file.encode() + PICTURE]) + b"--b--\r\n"
    return written(target, body, "Content-Type: multipart/form-data; boundary=b")


def _http(seeds: Mapping[str, bytes]) -> Target:
    return Target(seeds, HttpService().check)


def native() -> Target:
    """``/analyze``: pictures and JSON."""
    options = {"masks": "polygon", "annotate": True, "mask_detection": {"face_threshold": 0.3}, "timeout_s": 5}
    chosen = {"classes": ["person"], "max_instances": 3, "instance_segmentation.score_threshold": 0.2}
    images = [B64, {"b64": B64, "name": "a"}, f"data:image/png;base64,{B64}"]
    return _http(
        {
            "json": written("/analyze", {"images": images, "options": {**options, **chosen}}),
            "raw": written("/analyze?masks=png&tasks=mask_detection", PICTURE, "Content-Type: image/png"),
            "drawn": written("/analyze", PICTURE, "Content-Type: image/png", "Accept: image/jpeg"),
            "gzip": written("/analyze", gzip.compress(PICTURE), "Content-Type: image/*", "Content-Encoding: gzip"),
            "models": written("/models", b"", "Accept: text/html;q=0.5, */*;q=.2", method="GET"),
            "head": written("/readyz", b"", "X-Request-ID: a-b", "X-Maskgraph-Arrived: 1e9", method="HEAD"),
            "preflight": written(
                "/analyze", b"", "Origin: https://a.example", "Access-Control-Request-Method: POST", method="OPTIONS"
            ),
        }
    )


def multipart() -> Target:
    """multipart/form-data, in every protocol that takes it."""
    return _http(
        {
            "native": form("/analyze", "image", masks="rle", tasks="mask_detection"),
            "paddlehub": form("/predict/image/pyramidbox_lite_server_mask", "image", visual_result="True"),
            "roboflow": form("/instance_segmentation/1?confidence=40&overlap=30&format=image", "file"),
        }
    )


def kserve() -> Target:
    """``/v1/models``."""
    path = "/v1/models/instance_segmentation"
    rows = [{"b64": B64}, {"image_bytes": {"b64": B64}}]
    pixels = {"images": np.asarray(picture(4, 4)).tolist()}
    return _http(
        {
            "rows": written(f"{path}:predict", {"instances": rows, "signature_name": "serving_default"}),
            "columns": written(f"{path}/versions/1:predict", {"inputs": {"images": [{"b64": B64}]}}),
            "pixels": written("/v1/models/mask_detection:predict", {"instances": [pixels]}),
            "metadata": written(f"{path}/labels/stable/metadata", b"", method="GET"),
        }
    )


def open_inference() -> Target:
    """``/v2``: JSON, and JSON before the bytes of tensors."""
    path = "/v2/models/analyze/infer"
    tensor = {"name": "images", "shape": [1], "datatype": "BYTES"}
    parameters = {"face_threshold": 0.3, "classes": "person", "timeout": 5_000_000}
    raw = len(PICTURE).to_bytes(4, "little") + PICTURE
    wanted = [{"name": "instance_segmentation.dense_masks", "parameters": {"binary_data": True}}, {"name": "errors"}]
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": len(raw)}}], "outputs": wanted})
    pixels = {"name": "images", "shape": [1, 2, 2, 3], "datatype": "UINT8", "data": list(range(12))}
    return _http(
        {
            "json": written(path, {"id": "1", "inputs": [{**tensor, "data": [B64]}], "parameters": parameters}),
            "binary": written(path, head.encode() + raw, f"Inference-Header-Content-Length: {len(head)}"),
            "raw": written(path, PICTURE, "Inference-Header-Content-Length: 0"),
            "pixels": written("/v2/models/mask_detection/versions/1/infer", {"inputs": [pixels]}),
            "index": written("/v2/repository/index", {"ready": True}),
            "config": written("/v2/models/analyze/config", b"", method="GET"),
        }
    )


def paddlehub() -> Target:
    """``/predict``, 2.x and 1.x."""
    masks, solov2 = "/predict/pyramidbox_lite_server_mask", "/predict/solov2"
    arguments = {"images": [B64], "use_multi_scale": True, "shrink": 0.5, "confs_threshold": 0.6}
    data = json.dumps({"b64s": [B64]}).replace("+", "%2B")
    return _http(
        {
            "faces": written(masks, arguments),
            "instances": written(solov2, {"images": [B64], "threshold": 0.2, "visualization": False}),
            "form": written(
                "/predict/image/pyramidbox_lite_server_mask",
                f"data={data}&x=%41+".encode(),
                "Content-Type: application/x-www-form-urlencoded",
            ),
        }
    )


def roboflow() -> Target:
    """``/infer`` and the hosted form."""
    image = {"type": "base64", "value": B64}
    body = {"model_id": "instance_segmentation/1", "image": [image, image], "response_mask_format": "rle"}
    return _http(
        {
            "masks": written("/infer/instance_segmentation", body),
            "faces": written(
                "/infer/object_detection",
                {"model_id": "mask_detection/1", "image": image, "confidence": "best", "visualize_predictions": True},
            ),
            "hosted": written("/mask_detection/1?confidence=0.4&classes=MASK", B64.encode()),
            "add": written("/model/add", {"model_id": "mask_detection/1"}),
        }
    )
