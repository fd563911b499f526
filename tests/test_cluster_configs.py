"""The files for clusters fit the schemas that packages publish, each other, and the Dockerfile."""

import json
import os
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).parents[1]
KUBERNETES = "1.31"
RESOURCES = list(yaml.safe_load_all((ROOT / "configs" / "rayservice.yaml").read_text(encoding="utf-8")))
CLUSTER: dict[str, Any] = RESOURCES[0]["spec"]["rayClusterConfig"]
GROUPS = [CLUSTER["headGroupSpec"], *CLUSTER["workerGroupSpecs"]]
LAUNCHER = yaml.safe_load((ROOT / "configs" / "cluster.yaml").read_text(encoding="utf-8"))


def test_the_launchers_file_fits_rays_schema() -> None:
    import ray

    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(LAUNCHER, schema)


def test_the_resource_serves_what_cluster_app_says() -> None:
    app = yaml.safe_load((ROOT / "configs" / "cluster_app.yaml").read_text(encoding="utf-8"))
    assert yaml.safe_load(RESOURCES[0]["spec"]["serveConfigV2"]) == app


def test_servers_are_set_as_on_one_machine_but_for_where_they_listen() -> None:
    ours, gpu = (yaml.safe_load((ROOT / "configs" / name).read_text()) for name in ("cluster_app.yaml", "gpu.yaml"))
    variables = [each["controller_options"]["runtime_env"]["env_vars"] for each in (ours, gpu)]
    assert variables[0] == variables[1] | {"MASKGRAPH_GRPC_HOST": "0.0.0.0"}
    assert ours["grpc_options"] == gpu["grpc_options"]
    assert ours["http_options"] == gpu["http_options"] | {"host": "0.0.0.0"}


def test_the_ingress_runs_on_nodes_that_both_files_label() -> None:
    app = yaml.safe_load(RESOURCES[0]["spec"]["serveConfigV2"])["applications"][0]
    (ingress,) = (each for each in app["deployments"] if each["name"] == "Ingress")
    wanted = ingress["ray_actor_options"]["label_selector"]
    assert wanted in [each.get("labels") for each in CLUSTER["workerGroupSpecs"]]
    assert wanted in [each.get("labels") for each in LAUNCHER["available_node_types"].values()]


@pytest.mark.parametrize("resource", RESOURCES[1:], ids=lambda resource: resource["kind"])
def test_other_resources_fit_kubernetes_schemas(resource: dict[str, Any]) -> None:
    kubernetes_validate.validate(resource, KUBERNETES, strict=True)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.get("groupName", "head"))
def test_pods_fit_kubernetes_schema_and_run_without_privileges(group: dict[str, Any]) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", **group["template"]}
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)
    spec = pod["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    for container in spec["containers"]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["resources"].keys() == {"requests", "limits"}


def test_the_resource_fits_kuberays_own_schema() -> None:
    """No package ships it: RAYSERVICE_CRD names the file ray.io_rayservices.yaml of the version that is used."""
    if "RAYSERVICE_CRD" not in os.environ:
        pytest.skip("RAYSERVICE_CRD names no file of KubeRay's custom resource definition")
    crd = yaml.safe_load(Path(os.environ["RAYSERVICE_CRD"]).read_text(encoding="utf-8"))
    (schema,) = (each["schema"]["openAPIV3Schema"] for each in crd["spec"]["versions"] if each["name"] == "v1")
    closed = without_unknown_keys(schema)
    closed["properties"]["metadata"] = {"type": "object"}
    jsonschema.validate(RESOURCES[0], closed)


def without_unknown_keys(schema: Any) -> Any:
    """The same, refusing keys that it does not name, as Kubernetes' API server drops them."""
    if isinstance(schema, list):
        return [without_unknown_keys(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {}
    closed = {key: without_unknown_keys(value) for key, value in schema.items() if key != "format"}
    if "properties" in schema and schema.get("type") == "object" and "additionalProperties" not in schema:
        closed["additionalProperties"] = False
    return closed


def test_one_ray_for_the_images_and_the_clients() -> None:
    import ray

    assert CLUSTER["rayVersion"] == ray.__version__


def test_nobody_comes_in_without_the_token() -> None:
    assert CLUSTER["authOptions"] == {"mode": "token"}
    assert "--env RAY_AUTH_MODE=token" in LAUNCHER["docker"]["run_options"]
    assert any(path.endswith("/.ray/auth_token") for path in LAUNCHER["file_mounts"])


def instructions() -> Iterator[tuple[str, str]]:
    """Each instruction of the Dockerfile with its arguments."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, arguments = line.partition(" ")
            yield name, " ".join(arguments.split())


def test_the_image_has_its_sources_and_runs_as_nobody_special() -> None:
    found = list(instructions())
    assert [name for name, _ in found].count("FROM") == 2
    assert [arguments for name, arguments in found if name == "USER"] == ["1000"]
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    kept = [line[1:] for line in ignored if line.startswith("!")]
    for name, arguments in found:
        words = [word for word in arguments.split() if not word.startswith("--")]
        if name == "COPY" and "--from=build" not in arguments:
            for source in words[:-1]:
                assert (ROOT / source).exists(), source
                assert any(fnmatch(source, pattern) for pattern in kept), f".dockerignore leaves out {source}"


def test_what_the_packages_link_to_is_in_the_image() -> None:
    """serve_app's links to files beside it, which an installation follows."""
    copied = {word for name, arguments in instructions() if name == "COPY" for word in arguments.split()}
    for link in (path for top in ("serve_app", "deployments") for path in (ROOT / top).rglob("*") if path.is_symlink()):
        outside = link.resolve().relative_to(ROOT).parts[0]
        assert outside in copied, link
