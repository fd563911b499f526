from pathlib import Path
from typing import Any

import yaml

from serve_app.commands.serving.addresses import Addresses, addresses_of

DEFAULT = Path(__file__).parents[4] / "serve_config.yaml"
OURS = {"import_path": "serve_app.app:build"}


def of(**config: Any) -> Addresses:
    return addresses_of({"applications": [OURS], **config})


def test_the_default_config() -> None:
    assert addresses_of(yaml.safe_load(DEFAULT.read_text())) == Addresses(("http://127.0.0.1:8000/",), "127.0.0.1:9000")


def test_every_interface_is_called_by_this_machines_own_name() -> None:
    assert of().pages == ("http://127.0.0.1:8000/",)
    assert of(http_options={"host": "::", "port": 1}).pages == ("http://[::1]:1/",)
    assert of(http_options={"host": "10.0.0.1"}).pages == ("http://10.0.0.1:8000/",)
    grpc = {"grpc_servicer_functions": ["a.b"], "port": 7}
    assert of(grpc_options=grpc).grpc == "127.0.0.1:7"


def test_certificates_prefixes_and_other_applications() -> None:
    config = {
        "http_options": {"ssl_certfile": "a.pem", "root_path": "/behind"},
        "applications": [
            {"import_path": "other:app"},
            OURS | {"route_prefix": "/photos"},
            OURS | {"route_prefix": None},
        ],
        "grpc_options": {"port": 7},
    }
    assert addresses_of(config) == Addresses(("https://127.0.0.1:8000/behind/photos/",), None)
