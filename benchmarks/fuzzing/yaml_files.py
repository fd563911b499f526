"""Model cards, files of API keys, Serve configs."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks.fuzzing.target import Target, of_path
from deployments.models.card import read_card
from serve_app.api_keys import read_key_file
from serve_app.checking.check import check_text

ROOT = Path(__file__).parents[2]


def _yaml(*folders: str) -> Mapping[str, bytes]:
    paths = [path for folder in folders for path in sorted(ROOT.glob(folder))]
    return {path.name: path.read_bytes() for path in paths}


def model_card() -> Target:
    """Model cards."""
    return Target(_yaml("configs/models/*.yaml", "deployments/models/weights/*.yaml"), of_path(read_card, ".yaml"))


def key_file() -> Target:
    """Files of API keys."""
    entry = b"keys:\n- {name: a, sha256: '" + b"0" * 64 + b"', requests_per_s: 2.5, ongoing_requests: 3}\n"
    return Target({"one": entry}, of_path(read_key_file, ".yaml"))


def config() -> Target:
    """Serve configs, as ``maskgraph check`` reads them."""
    return Target(_yaml("serve_config.yaml", "configs/*.yaml"), lambda data: str(check_text(data)) and None)
