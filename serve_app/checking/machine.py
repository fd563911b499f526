"""What a Serve config needs of the machine that it starts on: model cards, their weights, keys, GPUs, free ports."""

import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deployments.models.card import card_path, read_card
from serve_app.api_keys import read_key_file
from serve_app.checking.check import applications_of_ours
from serve_app.checking.marked_yaml import Problem
from serve_app.settings import Settings

PORTS = {"http_options": ("0.0.0.0", 8000), "grpc_options": ("0.0.0.0", 9000)}
"""Where Serve listens if a config names no host or port; its gRPC server takes every interface."""


def missing_files(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Model cards, weights and keys of a sound config that are not here."""
    for index, arguments in applications_of_ours(config):
        settings = Settings.model_validate(arguments)
        place = ("applications", index, "args")
        for task, reference in settings.cards().items():
            if message := _missing(reference):
                yield Problem((*place, task) if task in arguments else place, message)
        if settings.api_keys_env and not os.environ.get(settings.api_keys_env, "").strip(", "):
            yield Problem((*place, "api_keys_env"), f"the environment has no keys in {settings.api_keys_env}")
        if settings.api_keys_file:
            try:
                read_key_file(Path(settings.api_keys_file))
            except (ValueError, OSError) as error:
                yield Problem((*place, "api_keys_file"), str(error))


def _missing(reference: str) -> str | None:
    """What lacks of the card that a setting names, if anything."""
    try:
        path = card_path(reference)
        card = read_card(path)
    except (ValueError, OSError) as error:
        return str(error)
    weights = path.parent / card.weights
    if card.weights_are_remote or weights.is_file():
        return None
    return f"model card {path}: there is no weights file {weights.absolute()}"


def missing_gpus(config: Mapping[str, Any]) -> Iterator[Problem]:
    """What asks for a GPU, where there is none."""
    wanted = list(_gpus_asked_for(config))
    if not wanted:
        return
    import torch  # slow, and most configs do without

    if not torch.cuda.is_available():
        for place in wanted:
            yield Problem(place, "asks for a GPU, and torch finds none here: maskgraph doctor says more")


def _gpus_asked_for(config: Mapping[str, Any]) -> Iterator[tuple[str | int, ...]]:
    for index, arguments in applications_of_ours(config):
        place = ("applications", index)
        if arguments.get("device") == "cuda":
            yield (*place, "args", "device")
        for number, deployment in enumerate(config["applications"][index].get("deployments") or ()):
            if (deployment.get("ray_actor_options") or {}).get("num_gpus"):
                yield (*place, "deployments", number, "ray_actor_options", "num_gpus")


def listens_at(config: Mapping[str, Any], section: str) -> tuple[str, int]:
    """Host and port of ``http_options`` or ``grpc_options``.

    The host of gRPC stands in an environment variable, as Serve has no option for it: see grpc/listening.py.
    """
    host, port = PORTS[section]
    options = config.get(section) or {}
    if section == "grpc_options":
        runtime_env = (config.get("controller_options") or {}).get("runtime_env") or {}
        bound = str((runtime_env.get("env_vars") or {}).get("MASKGRAPH_GRPC_HOST", ""))
        return bound.strip("[]") or host, options.get("port", port)
    return options.get("host", host), options.get("port", port)


def taken_ports(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Ports that another process listens on already."""
    for section in PORTS:
        options = config.get(section)
        if options is None and section == "grpc_options":
            continue
        host, port = listens_at(config, section)
        if not _is_free(host, port):
            place = (section, "port") if options and "port" in options else (section,)
            yield Problem(place, f"port {port} on {host} is taken: stop what listens there, or choose another port")


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
