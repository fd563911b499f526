import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from deployments.models.card import EMBEDDED
from serve_app import cli
from serve_app.checking.machine import listens_at, missing_files, missing_gpus, taken_ports
from tests.ports import free_port

ROOT = Path(__file__).parents[3]


def config(**arguments: Any) -> dict[str, Any]:
    return {
        "applications": [{"import_path": "elsewhere:app"}, {"import_path": "serve_app.app:build", "args": arguments}]
    }


def test_embedded_models_are_here() -> None:
    assert list(missing_files(config())) == []
    assert (
        list(missing_files({"applications": [{"import_path": "elsewhere:app", "args": {"mask_detection": 1}}]})) == []
    )


def test_a_card_that_is_not_here_is_named_with_the_path_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (problem,) = missing_files(config(object_detection="cards/goods.yaml"))
    assert problem.path == ("applications", 1, "args", "object_detection")
    assert str(tmp_path / "cards" / "goods.yaml") in problem.message


def test_weights_that_are_not_here_are_named_with_their_path(tmp_path: Path) -> None:
    card = tmp_path / "goods.yaml"
    shutil.copy(EMBEDDED / "solov2_people.yaml", card)
    (problem,) = missing_files(config(instance_segmentation=str(card)))
    assert str(tmp_path / yaml.safe_load(card.read_text())["weights"]) in problem.message


def test_keys_that_are_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEYS", " ,")
    (problem,) = missing_files(config(api_keys_env="SOME_KEYS"))
    assert "SOME_KEYS" in problem.message
    monkeypatch.setenv("SOME_KEYS", "key")
    assert list(missing_files(config(api_keys_env="SOME_KEYS"))) == []


def test_gpus_that_are_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    asking = config(device="cuda")
    asking["applications"][1]["deployments"] = [{"name": "Ingress"}, {"ray_actor_options": {"num_gpus": 0.5}}]
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert [problem.path[2:] for problem in missing_gpus(asking)] == [
        ("args", "device"),
        ("deployments", 1, "ray_actor_options", "num_gpus"),
    ]
    assert list(missing_gpus(config(device="auto"))) == []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert list(missing_gpus(asking)) == []


@pytest.mark.parametrize("section", ["http_options", "grpc_options"])
def test_a_port_that_is_taken(section: str) -> None:
    port = free_port()  # none that a connection of another test may be given once it is free again
    with socket.create_server(("127.0.0.1", port)):
        config = on_loopback() | {section: {"host": "127.0.0.1", "port": port}}
        (problem,) = taken_ports(config)
    assert problem.path == (section, "port")
    assert f"port {port} on 127.0.0.1 is taken" in problem.message
    assert list(taken_ports(config)) == []


def test_where_grpc_is_bound_stands_in_an_environment_variable() -> None:
    config = on_loopback()
    assert listens_at(config, "grpc_options") == ("127.0.0.1", 9000)
    config["controller_options"]["runtime_env"]["env_vars"]["MASKGRAPH_GRPC_HOST"] = "[::1]"
    assert listens_at(config, "grpc_options") == ("::1", 9000)
    assert listens_at({}, "grpc_options") == ("0.0.0.0", 9000)


def on_loopback() -> dict[str, Any]:
    return {
        "http_options": {"host": "127.0.0.1", "port": 0},
        "controller_options": {"runtime_env": {"env_vars": {"MASKGRAPH_GRPC_HOST": "127.0.0.1"}}},
    }


def test_the_command_looks_at_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    file = tmp_path / "config.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "applications": [
                    {
                        "name": "a",
                        "route_prefix": "/",
                        "import_path": "serve_app.app:build",
                        "args": {"mask_detection": "no.yaml"},
                    }
                ]
            }
        )
    )
    told = CliRunner().invoke(cli.app, ["check", str(file)])
    assert told.exit_code == 1
    assert "applications[0].args.mask_detection" in told.stdout
    assert CliRunner().invoke(cli.app, ["check", "--elsewhere", str(file)]).exit_code == 0
    absent = CliRunner().invoke(cli.app, ["check", "gone.yaml"])
    assert absent.exit_code == 1
    assert str(Path("gone.yaml").absolute()) in absent.stdout
