from ray.serve.schema import ServeStatus

from serve_app.commands.serving.status import cause, failures, is_running, troubles
from tests.serve_app.commands.serving.statuses import RETRYING, WAITING, status


def test_a_replica_that_raises_has_failed_though_serve_tries_again() -> None:
    found = failures(status("DEPLOYING", MaskDetection=("UPDATING", RETRYING), Ingress=("HEALTHY", "")))
    assert found == ["MaskDetection: precision float16 needs a CUDA device; the CPU has float32 and bfloat16"]


def test_an_application_that_cannot_be_built_has_failed() -> None:
    text = (
        "Deploying app 'maskgraph' failed with exception:\nTraceback (most recent call last):\n  File\nKeyError: 'a'\n"
    )
    assert failures(status("DEPLOY_FAILED", text)) == ["maskgraph: KeyError: 'a'"]


def test_a_start_that_goes_on_has_not_failed() -> None:
    assert failures(ServeStatus()) == []
    assert failures(status("DEPLOYING", MaskDetection=("UPDATING", ""))) == []
    assert failures(status("DEPLOYING", MaskDetection=("UPDATING", WAITING))) == []


def test_only_what_runs_whole_is_running() -> None:
    assert is_running(status("RUNNING"))
    assert not is_running(status("DEPLOYING"))
    assert not is_running(ServeStatus())


def test_resources_that_the_machine_lacks_are_named_with_the_mend() -> None:
    found = troubles(status("DEPLOYING", MaskDetection=("UPDATING", WAITING)))
    assert found.keys() == {"MaskDetection"}
    assert "64 CPU, of which 1 are left, 1 GPU, of which 0 are left" in found["MaskDetection"]
    assert "ray_actor_options" in found["MaskDetection"]


def test_a_slow_start_lacks_nothing() -> None:
    slow = WAITING.replace("64.0", "0.5").replace('"GPU": 1', '"GPU": 0')
    assert troubles(status("DEPLOYING", MaskDetection=("UPDATING", slow))) == {}


def test_an_unhealthy_deployment_is_told_of_once_and_not_as_the_application_too() -> None:
    sick = status("UNHEALTHY", "", MaskDetection=("UNHEALTHY", "A replica's health check failed."))
    assert troubles(sick) == {"MaskDetection": "unhealthy: A replica's health check failed."}
    assert troubles(status("UNHEALTHY", "gone")) == {"maskgraph": "unhealthy: gone"}
    assert troubles(status("RUNNING", "", MaskDetection=("HEALTHY", ""))) == {}


def test_a_cause_is_one_line_of_text_or_kind_and_text() -> None:
    assert cause("") == "no reason was given"
    assert cause("just so\n\n") == "just so"
    assert cause("Error:\nray.exceptions.RayTaskError(ImportError): ray::f()\n  File\nImportError: no x") == (
        "ImportError: no x"
    )
    assert cause("Error:\nray.exceptions.ActorDiedError: The actor died\nand more") == "ActorDiedError: The actor died"
