"""Statuses as Serve gives them."""

from ray.serve._private.common import DeploymentStatus, DeploymentStatusTrigger
from ray.serve.schema import ApplicationStatus, ApplicationStatusOverview, DeploymentStatusOverview, ServeStatus


def status(application: str = "RUNNING", message: str = "", /, **deployments: tuple[str, str]) -> ServeStatus:
    """Of one application; of each deployment its status and message."""
    overviews = {
        name: DeploymentStatusOverview(DeploymentStatus(state), DeploymentStatusTrigger.UNSPECIFIED, {}, text)
        for name, (state, text) in deployments.items()
    }
    return ServeStatus(
        applications={"maskgraph": ApplicationStatusOverview(ApplicationStatus(application), message, 0.0, overviews)}
    )


RETRYING = """A replica failed to start with exception. Retrying 2 more time(s). Error:
Traceback (most recent call last):
  File "replica.py", line 1, in initialize
    await task
RuntimeError: Traceback (most recent call last):
  File "load.py", line 2, in load
    check_precision(precision)
ValueError: precision float16 needs a CUDA device; the CPU has float32 and bfloat16
"""
WAITING = (
    "Deployment 'MaskDetection' in application 'maskgraph' has 1 replicas that have taken more than 30s to "
    "be scheduled. This may be due to waiting for the cluster to auto-scale or for a runtime environment to be "
    "installed. "
    'Resources required for each replica: {"CPU": 64.0, "GPU": 1}, total resources available: {"CPU": 1.0}. '
    "Use `ray status` for more details."
)
