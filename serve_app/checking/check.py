"""Strict check of Serve configs. Ray ignores most keys that it does not know; here each is a problem with its place."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from pathlib import Path as FilePath
from typing import Any

from pydantic import BaseModel, ConfigDict, create_model
from ray.runtime_env import RuntimeEnv, RuntimeEnvConfig
from ray.serve.config import AutoscalingPolicy
from ray.serve.schema import ServeDeploySchema

from deployments.calls import threshold_names
from deployments.models.card import OPTIONS, Task
from deployments.settings import Probability
from serve_app.checking.marked_yaml import MAX_BYTES, Document, Path, Problem, UnreadableYaml, read_documents
from serve_app.checking.strict_model import StrictModel
from serve_app.settings import ReplicaSettings, Settings

OUR_APPLICATION = "serve_app.app:build"
DEPLOYMENTS: dict[str, Task | None] = {
    "Ingress": None,
    "MaskDetection": "mask_detection",
    "InstanceSegmentation": "instance_segmentation",
    "ObjectDetection": "object_detection",
}
"""The deployments of our application; those of a task take a ``user_config``."""


Look = Callable[[Mapping[str, Any]], Iterator[Problem]]
"""Finds what a sound config needs and this machine has not; see ``machine``."""


def check_file(path: FilePath, looks: Sequence[Look] = ()) -> list[Problem]:
    """Everything wrong with a Serve config, or with the Serve configs inside a file of RayService resources."""
    try:
        with path.open("rb") as file:
            return check_text(file.read(MAX_BYTES + 1), looks)
    except OSError as error:
        return [Problem((), f"{path.absolute()} cannot be read: {error.strerror}")]


def check_text(text: bytes | str, looks: Sequence[Look] = ()) -> list[Problem]:
    """As :func:`check_file`, of the text itself. Problems come in the order of their lines.

    ``looks`` are taken once a config is sound; resources for KubeRay name another machine's files, so there are none.
    """
    try:
        documents = read_documents(text)
    except UnreadableYaml as error:
        return [Problem((), str(error), error.line)]
    if any(isinstance(document.value, dict) and "kind" in document.value for document in documents):
        problems = list(_resource_problems(documents))
    elif all(document.value is None and not document.problems for document in documents):
        problems = [Problem((), "empty")]
    elif len(documents) > 1:
        problems = [Problem((), "more than one YAML document", documents[1].line(()))]
    else:
        (document,) = documents
        problems = _located(document, _config_problems(document.value))
        if not problems:
            problems = _located(document, chain.from_iterable(look(document.value) for look in looks))
    return sorted(problems, key=lambda problem: problem.line or 0)


def _located(document: Document, problems: Iterable[Problem]) -> list[Problem]:
    """Give problems their lines, beside those of the document itself."""
    return document.problems + [Problem(each.path, each.message, document.line(each.path)) for each in problems]


def _resource_problems(documents: list[Document]) -> Iterator[Problem]:
    """Of the Serve configs that KubeRay's resources carry as text."""
    path: Path = ("spec", "serveConfigV2")
    services = [each for each in documents if isinstance(each.value, dict) and each.value.get("kind") == "RayService"]
    if not services:
        yield Problem((), "holds no Serve config: no resource is of kind RayService")
    for document in services:
        yield from document.problems
        spec = document.value.get("spec")
        config = spec.get("serveConfigV2") if isinstance(spec, dict) else None
        line = document.line(path)
        if not isinstance(config, str):
            yield Problem(path, "missing, or no text", line)
            continue
        for problem in check_text(config):
            inside = line and problem.line and path in document.literal_blocks
            yield Problem(path + problem.path, problem.message, line + problem.line if inside else line)  # type: ignore[operator]


def _config_problems(config: object) -> Iterator[Problem]:
    if not isinstance(config, dict):
        yield Problem((), "no mapping of keys to values")
        return
    yield from _serve_schema().problems(config)
    for index, application in enumerate(_mappings(config.get("applications"))):
        for problem in _application_problems(application):
            yield problem.under(("applications", index))


def _application_problems(application: dict[str, Any]) -> Iterator[Problem]:
    """What Ray's schema leaves to the application: its arguments, and its deployments' names and settings."""
    deployments = _mappings(application.get("deployments"))
    names = [deployment.get("name") for deployment in deployments]
    for index, name in enumerate(names):
        if name is not None and name in names[:index]:
            yield Problem(("deployments", index, "name"), "an earlier entry has this name already")
    if not _is_ours(application):
        return
    arguments = application.get("args", {})
    if isinstance(arguments, dict):
        for problem in _settings_schema().problems(arguments):
            yield problem.under(("args",))
    has_objects = isinstance(arguments, dict) and arguments.get("object_detection") is not None
    for index, deployment in enumerate(deployments):
        for problem in _deployment_problems(deployment, has_objects):
            yield problem.under(("deployments", index))


def _is_ours(application: Mapping[str, Any]) -> bool:
    import_path = application.get("import_path")
    return isinstance(import_path, str) and import_path.replace(":", ".") == OUR_APPLICATION.replace(":", ".")


def applications_of_ours(config: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Index and arguments of each application of a sound config that this project builds."""
    for index, application in enumerate(_mappings(config.get("applications"))):
        if _is_ours(application):
            yield index, application.get("args") or {}


def _deployment_problems(deployment: dict[str, Any], has_objects: bool) -> Iterator[Problem]:
    name = deployment.get("name")
    if not isinstance(name, str):
        return
    if name not in DEPLOYMENTS:
        yield Problem(("name",), f"no deployment of this application; it has {', '.join(DEPLOYMENTS)}")
        return
    user_config, task = deployment.get("user_config"), DEPLOYMENTS[name]
    if task == "object_detection" and not has_objects:
        yield Problem(("name",), "this application has it only where object_detection in args names a model card")
    if not isinstance(user_config, dict):
        return
    if task is None:
        yield Problem(("user_config",), f"{name} takes none")
        return
    # Thresholds go by the names that they have in a request.
    for problem in _user_config_schema(threshold_names(OPTIONS[task])).problems(user_config):
        yield problem.under(("user_config",))


def _mappings(value: object) -> list[dict[str, Any]]:
    """The items of a list, an empty mapping for each that is none, so that indexes hold."""
    return [item if isinstance(item, dict) else {} for item in value] if isinstance(value, list) else []


@cache
def _settings_schema() -> StrictModel:
    return StrictModel(Settings)


@cache
def _user_config_schema(thresholds: tuple[str, ...]) -> StrictModel:
    known = _mapping_with("Thresholds", set(thresholds), **dict.fromkeys(thresholds, Probability))
    return StrictModel(ReplicaSettings, {"thresholds": known})


@cache
def _serve_schema() -> StrictModel:
    """Ray's own schema, with the forms of what it declares as bare mappings."""
    runtime_env_keys = set(inspect.signature(RuntimeEnv).parameters) - {"kwargs"} | RuntimeEnv.known_fields
    config = _mapping_with("RuntimeEnvConfig", set(RuntimeEnvConfig.known_fields))
    runtime_env = _mapping_with(
        "RuntimeEnv", runtime_env_keys, env_vars=dict[str, str], py_modules=list[str], working_dir=str, config=config
    )
    return StrictModel(ServeDeploySchema, {"runtime_env": runtime_env, "autoscaling_policy": AutoscalingPolicy})


def _mapping_with(name: str, keys: set[str], **types: Any) -> type[BaseModel]:
    """A model with the public ones of ``keys``, of any type unless one is given."""
    members = {key: (types.get(key, Any), None) for key in sorted(keys) if not key.startswith("_")}
    return create_model(name, __config__=ConfigDict(protected_namespaces=()), **members)  # type: ignore[call-overload, no-any-return]
