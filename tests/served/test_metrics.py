"""The dashboard and the alerts know only metrics that a served application exports."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import ray
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.photos import astronaut, jpeg

pytestmark = pytest.mark.serve

GRAFANA = Path(__file__).parents[2] / "configs/grafana"
NAME = re.compile(r"\bray_\w+")
REPORTED_WITHIN_S = 60
"""Ray's processes report what they measured every ten seconds."""


def expressions() -> list[str]:
    """Every PromQL expression that we ship."""
    panels = json.loads((GRAFANA / "dashboard.json").read_text())["panels"]
    shown = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    groups = yaml.safe_load((GRAFANA / "alerts.yaml").read_text())["groups"]
    return shown + [rule["expr"] for group in groups for rule in group["rules"]]


def exported() -> dict[str, set[str]]:
    """The labels of each series that the node's exporter has now."""
    (node,) = ray.nodes()
    text = httpx.get(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics").text
    return {
        sample.name: set(sample.labels) for family in text_string_to_metric_families(text) for sample in family.samples
    }


@pytest.fixture(scope="module")
def series(addresses: object) -> Callable[[set[str]], dict[str, set[str]]]:
    """A function that waits until all of these are exported, and gives all that is; or what there was in the end."""

    def wait(names: set[str]) -> dict[str, set[str]]:
        end = time.monotonic() + REPORTED_WITHIN_S
        while not names <= exported().keys() and time.monotonic() < end:
            time.sleep(1)
        return exported()

    return wait


def test_every_metric_exists(client: httpx.Client, series: Callable[[set[str]], dict[str, set[str]]]) -> None:
    photo, headers = jpeg(astronaut()), {"Content-Type": "image/jpeg"}
    # An answer; a refusal by the ingress, one by the gate.
    assert client.post("/analyze", content=photo, headers=headers).status_code == httpx.codes.OK
    assert client.post("/analyze", content=b"x", headers=headers).status_code == httpx.codes.UNSUPPORTED_MEDIA_TYPE
    too_large = httpx.codes.REQUEST_ENTITY_TOO_LARGE
    assert client.post("/analyze", content=b"x" * 17_000_000, headers=headers).status_code == too_large
    used = {name for expression in expressions() for name in NAME.findall(expression)}
    # A counter is exported once it has counted; these wait for trouble in a replica (tests/deployments/batching).
    never = {"ray_maskgraph_batch_failed_total", "ray_maskgraph_batch_dropped_total"}
    found = series(used - never)
    assert used - never - found.keys() == set()
    for expression in expressions():
        carried = {label for name in set(NAME.findall(expression)) - never for label in found[name]}
        assert not carried or labels(expression) <= carried | {"le"}, expression


def labels(expression: str) -> set[str]:
    """What an expression groups or selects by."""
    groups = [word for group in re.findall(r"by \(([\w, ]+)\)", expression) for word in re.findall(r"\w+", group)]
    return {*groups, *re.findall(r"(\w+)=~?\"", expression)}
