import shutil
import socket
from pathlib import Path

import pytest
import yaml

from deployments.models.card import EMBEDDED
from deployments.models.converted import converted_folder
from serve_app.commands.doctor import files


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MASKGRAPH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_networks_of_other_versions_are_told_of_and_removed_on_request(cache: Path) -> None:
    assert [finding.state for finding in files.cache()] == ["ok"]  # not there yet, but it can be
    ours, old = converted_folder() / "model", cache / "openvino" / "old"
    for folder, size in ((ours, 1_000_000), (old, 3_000_000)):
        folder.mkdir(parents=True)
        (folder / "network.bin").write_bytes(bytes(size))
    (finding,) = files.cache()
    assert finding.state == "warning"
    assert "4 MB, 3 MB of them" in finding.message
    assert "--clean-cache" in finding.mend

    assert files.clean_cache() == 3_000_000
    assert (ours / "network.bin").is_file()
    assert not old.exists()
    assert [finding.state for finding in files.cache()] == ["ok"]


def test_a_cache_that_cannot_be_written(cache: Path) -> None:
    cache.write_bytes(b"a file is in its place")
    (finding,) = files.cache()
    assert finding.state == "warning"
    assert "MASKGRAPH_CACHE" in finding.mend


def test_weights_are_those_of_the_card(tmp_path: Path, cache: Path) -> None:
    card = yaml.safe_load((EMBEDDED / "face_mask.yaml").read_text())
    file = tmp_path / "mine.yaml"
    shutil.copy(EMBEDDED / card["weights"], tmp_path)

    def found(**changes: str) -> tuple[str, str]:
        file.write_text(yaml.safe_dump(card | changes))
        finding = files.weights(str(file))
        return finding.state, finding.message

    digest = files.file_sha256(tmp_path / card["weights"])
    assert found() == ("ok", f"face_mask: there, sha256 {digest[:12]}... (the card names none to hold it against)")
    assert found(sha256=digest) == ("ok", f"face_mask: there, sha256 {digest[:12]}... (as in the card)")
    with pytest.raises(ValueError, match=digest):
        found(sha256="0" * 64)

    remote = {"weights": "https://models.example/m.safetensors", "sha256": digest}
    assert "not here yet" in found(**remote)[1]
    cache.mkdir()
    shutil.copy(tmp_path / card["weights"], cache / digest)
    assert found(**remote) == ("ok", "face_mask: fetched, sha256 as in the card")
    (cache / digest).write_bytes(b"damaged")
    assert found(**remote)[0] == "warning"


def test_a_config_is_looked_at_with_its_weights(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    application = {"name": "a", "route_prefix": "/", "import_path": "serve_app.app:build", "args": {}}
    free = {"http_options": {"host": "127.0.0.1", "port": 0}}
    file.write_text(yaml.safe_dump(free | {"applications": [application]}))
    assert [(each.subject, each.state) for each in files.config(file)] == [
        ("config", "ok"),
        ("weights", "ok"),
        ("weights", "ok"),
    ]
    application["args"] = {"mask_detection": "gone.yaml"}
    file.write_text(yaml.safe_dump(free | {"applications": [application]}))
    config, missing, _ = files.config(file)
    assert (config.state, missing.state) == ("wrong", "wrong")
    assert "gone.yaml" in config.message
    application["args"] = {}
    with socket.create_server(("127.0.0.1", 0)) as listening:
        taken = {"http_options": {"host": "127.0.0.1", "port": listening.getsockname()[1]}}
        file.write_text(yaml.safe_dump(taken | {"applications": [application]}))
        busy, *_ = files.config(file)
    assert busy.state == "warning"
    assert "is taken" in busy.message
    file.write_text("applications: 1")
    assert [(each.subject, each.state) for each in files.config(file)] == [("config", "wrong")]
