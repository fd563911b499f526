from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from serve_app.checking.check import DEPLOYMENTS, check_file, check_text
from serve_app.checking.marked_yaml import Path as Place
from serve_app.checking.marked_yaml import dotted
from tests.serve_app.checking.config import CONFIG

ROOT = Path(__file__).parents[3]
FREE_FORM = {"env_vars", "resources", "policy_kwargs"}
APP: Place = ("applications", 0)
MASK: Place = (*APP, "deployments", 1)
SEGMENT: Place = (*APP, "deployments", 2)


def at(config: Any, place: Place) -> Any:
    for part in place:
        config = config[part]
    return config


def problems_of(config: object) -> dict[str, str]:
    """Message by place, in order."""
    return {dotted(problem.path): problem.message for problem in check_text(yaml.safe_dump(config, sort_keys=False))}


def keys_of(value: object, place: Place = ()) -> Iterator[Place]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*place, key)
            if key not in FREE_FORM:
                yield from keys_of(item, (*place, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from keys_of(item, (*place, index))


KEYS = list(keys_of(CONFIG))


def renamed(place: Place, name: str) -> dict[str, Any]:
    """CONFIG with the key at ``place`` called ``name``, in the same position."""
    config = deepcopy(CONFIG)
    parent = at(config, place[:-1])
    items = [(name if key == place[-1] else key, value) for key, value in parent.items()]
    parent.clear()
    parent.update(items)
    return config


def test_a_valid_config_has_no_problems() -> None:
    assert problems_of(CONFIG) == {}


@pytest.mark.parametrize("path", ["serve_config.yaml", "configs/gpu.yaml"])
def test_the_configs_of_the_tree_are_valid(path: str) -> None:
    assert check_file(ROOT / path) == []


@pytest.mark.parametrize("place", KEYS, ids=dotted)
def test_every_misspelt_key_is_named_with_the_right_one(place: Place) -> None:
    wrong = f"{place[-1]}s"
    assert problems_of(renamed(place, wrong))[dotted((*place[:-1], wrong))] == (
        f"unknown key; did you mean {place[-1]}?"
    )


# The question mark keeps the name from being, by chance, another key that is known there.
@given(st.sampled_from(KEYS), st.text(max_size=12).map(lambda text: f"{text}?"))
def test_any_renamed_key_is_reported_at_its_place(place: Place, name: str) -> None:
    assert "unknown key" in problems_of(renamed(place, name))[dotted((*place[:-1], name))]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("http_options", "port"), "8000"),
        (("http_options", "port"), True),
        (("http_options", "request_timeout_s"), "1e3"),
        (("http_options",), None),
        (("proxy_location",), "Everywhere"),
        (("target_capacity",), 101.0),
        (("grpc_options", "grpc_servicer_functions"), "stubs:add"),
        (("logging_config", "log_level"), "LOUD"),
        (("logging_config", "enable_access_log"), "no"),
        (("tracing_config", "sampling_ratio"), 2),
        (("applications",), {}),
        ((*APP, "name"), 5),
        ((*APP, "import_path"), "nowhere"),
        ((*APP, "args"), ["cpu"]),
        ((*APP, "args", "device"), "gpu"),
        ((*APP, "args", "threads"), 0),
        ((*APP, "args", "dialects"), "native"),
        ((*APP, "runtime_env", "env_vars", "OMP_NUM_THREADS"), 1),
        ((*APP, "deployments"), "all"),
        ((*MASK, "max_ongoing_requests"), 0),
        ((*MASK, "max_ongoing_requests"), 1.5),
        ((*MASK, "autoscaling_config", "max_replicas"), "2"),
        ((*MASK, "autoscaling_config", "min_replicas"), None),
        ((*MASK, "ray_actor_options", "num_cpus"), -1),
        ((*MASK, "ray_actor_options", "resources"), ["GPU"]),
        ((*MASK, "user_config", "max_batch_images"), "eight"),
        ((*MASK, "user_config", "thresholds", "face_threshold"), 7),
        ((*SEGMENT, "gang_scheduling_config", "gang_size"), []),
        ((*SEGMENT, "request_router_config", "initial_backoff_s"), "soon"),
    ],
    ids=lambda value: dotted(value) if isinstance(value, tuple) else None,
)
def test_a_wrong_value_is_reported_at_its_place(place: Place, value: object) -> None:
    config = deepcopy(CONFIG)
    at(config, place[:-1])[place[-1]] = value
    assert dotted(place) in problems_of(config)


@pytest.mark.parametrize(
    "place",
    [("applications",), (*APP, "import_path"), (*MASK, "name"), (*SEGMENT, "gang_scheduling_config", "gang_size")],
    ids=dotted,
)
def test_a_missing_key_is_reported(place: Place) -> None:
    config = deepcopy(CONFIG)
    del at(config, place[:-1])[place[-1]]
    assert problems_of(config)[dotted(place)] == "missing"


def test_everything_is_reported_at_once_with_its_line() -> None:
    text = """\
http_option: {port: 8000}
applications:
  - import_path: serve_app.app:build
    args:
      devise: cpu
    deployments:
      - name: MaskDetector
      - name: MaskDetection
        autoscaling_config:
          max_replica: 3
          min_replicas: 4
          max_replicas: 2
logging_config:
  log_level: LOUD
"""
    assert [(problem.line, dotted(problem.path)) for problem in check_text(text)] == [
        (1, "http_option"),
        (5, "applications[0].args.devise"),
        (7, "applications[0].deployments[0].name"),
        (9, "applications[0].deployments[1].autoscaling_config"),
        (10, "applications[0].deployments[1].autoscaling_config.max_replica"),
        (14, "logging_config.log_level"),
    ]


def test_names_of_deployments_are_those_of_the_application() -> None:
    from serve_app import app

    assert set(DEPLOYMENTS) == {
        app.Ingress.name,
        app.MaskDetection.name,
        app.InstanceSegmentation.name,
        app.ObjectDetection.name,
    }


def test_a_deployment_listed_twice_is_reported() -> None:
    config = deepcopy(CONFIG)
    at(config, SEGMENT)["name"] = "MaskDetection"
    assert "an earlier entry" in problems_of(config)["applications[0].deployments[2].name"]


def test_a_threshold_of_the_other_model_is_unknown() -> None:
    config = deepcopy(CONFIG)
    at(config, (*MASK, "user_config"))["thresholds"] = {"score_threshold": 0.5}
    message = problems_of(config)["applications[0].deployments[1].user_config.thresholds.score_threshold"]
    assert message.startswith("unknown key")
    assert "face_threshold" in message


@pytest.mark.parametrize("arguments", [{}, {"object_detection": None}])
def test_the_third_deployment_is_there_only_with_a_model_card(arguments: dict[str, Any]) -> None:
    config = deepcopy(CONFIG)
    at(config, APP)["args"] = arguments
    place = "applications[0].deployments[3].name"
    assert problems_of(config) == {
        place: "this application has it only where object_detection in args names a model card"
    }
    del at(config, APP)["args"]
    assert list(problems_of(config)) == [place]


@pytest.mark.parametrize("name", ["max_objects", "classes", "face_threshold"])
def test_only_its_fractions_are_thresholds_of_the_third_deployment(name: str) -> None:
    config = deepcopy(CONFIG)
    at(config, (*APP, "deployments", 3, "user_config"))["thresholds"] = {name: 1}
    (message,) = problems_of(config).values()
    assert message.startswith("unknown key")


def test_the_ingress_takes_no_user_config() -> None:
    config = deepcopy(CONFIG)
    at(config, (*APP, "deployments", 0))["user_config"] = {"max_batch_images": 8}
    assert problems_of(config) == {"applications[0].deployments[0].user_config": "Ingress takes none"}


def test_other_applications_keep_their_own_arguments_and_deployments() -> None:
    application = {"import_path": "other.app:build", "args": {"x": 1}, "deployments": [{"name": "Y", "num_cpu": 1}]}
    assert list(problems_of({"applications": [application]})) == ["applications[0].deployments[0].num_cpu"]


def test_no_code_that_a_file_names_is_imported() -> None:
    config = deepcopy(CONFIG)
    at(config, (*SEGMENT, "request_router_config"))["request_router_class"] = "antigravity:fly"
    at(config, (*MASK, "autoscaling_config", "policy"))["policy_function"] = "antigravity:fly"
    assert problems_of(config) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("# nothing but a comment\n", "empty"),
        ("- 1\n", "no mapping"),
        ("just text", "no mapping"),
        ("applications: []\n---\napplications: []\n", "more than one YAML document"),
        ("applications: [", "not YAML"),
        ("kind: Deployment\n", "no Serve config"),
        ("kind: RayService\nspec: {serveConfigV: ''}\n", "missing, or no text"),
    ],
)
def test_a_file_that_is_no_config_is_a_problem(text: str, message: str) -> None:
    (problem,) = check_text(text)
    assert message in str(problem)


@given(st.one_of(st.text(max_size=200), st.binary(max_size=200)))
def test_any_input_gets_an_answer(text: str | bytes) -> None:
    assert all(str(problem).isprintable() for problem in check_text(text))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(KEYS), json_values)
def test_any_value_anywhere_gets_an_answer(place: Place, value: object) -> None:
    config = deepcopy(CONFIG)
    at(config, place[:-1])[place[-1]] = value
    assert all(str(problem).isprintable() for problem in check_text(yaml.safe_dump(config, allow_unicode=True)))


def test_a_ray_service_is_checked_inside_its_serve_config() -> None:
    inner = yaml.safe_dump(renamed((*MASK, "autoscaling_config"), "autoscaling"), sort_keys=False)
    text = f"kind: Namespace\n---\nkind: RayService\nspec:\n  serveConfigV2: |\n{indent(inner, '    ')}"
    (problem,) = check_text(text)
    assert dotted(problem.path) == "spec.serveConfigV2.applications[0].deployments[1].autoscaling"
    assert problem.line is not None
    assert text.splitlines()[problem.line - 1].strip() == "autoscaling:"
