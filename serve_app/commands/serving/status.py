"""What Serve's status says in a line each, for whoever started it."""

import json
import re

from ray.serve.schema import ServeStatus

RAISED = re.compile(r"^(?:\w+\.)*(\w*(?:Error|Exception|Exit|Interrupt|Died|Expired))(?:\(\w+\))?: (.+)$", re.M)
"""The line of a traceback that says what was raised."""
FAILED_TO_START = "failed to start"
"""In the message of a deployment of which a replica's constructor raised; Serve tries again for a while."""
UNSCHEDULED = re.compile(r"to be scheduled.*Resources required for each replica: (\{.*?\}), total .*?: (\{.*?\})", re.S)


def failures(status: ServeStatus) -> list[str]:
    """Why a start has failed, a line each; none while it may still succeed."""
    found = []
    for name, application in status.applications.items():
        of_deployments = [
            f"{deployment}: {cause(overview.message)}"
            for deployment, overview in application.deployments.items()
            if overview.status == "DEPLOY_FAILED" or FAILED_TO_START in overview.message
        ]
        if of_deployments:
            found += of_deployments
        elif application.status == "DEPLOY_FAILED":
            found.append(f"{name}: {cause(application.message)}")
    return found


def troubles(status: ServeStatus) -> dict[str, str]:
    """What is amiss now with each application or deployment, though it may mend itself."""
    found = {}
    for name, application in status.applications.items():
        for deployment, overview in application.deployments.items():
            if lacking := _lacking(overview.message):
                found[deployment] = f"waits for {lacking}: ask for less under ray_actor_options, or for fewer replicas"
            elif overview.status == "UNHEALTHY":
                found[deployment] = f"unhealthy: {cause(overview.message)}"
        if application.status == "UNHEALTHY" and not found.keys() & application.deployments.keys():
            found[name] = f"unhealthy: {cause(application.message)}"
    return found


def is_running(status: ServeStatus) -> bool:
    """Whether every application runs, and there is one."""
    return bool(status.applications) and all(each.status == "RUNNING" for each in status.applications.values())


def _lacking(message: str) -> str:
    """Resources that a replica waits for and are not left; Serve says what it needs of a slow start, too."""
    told = UNSCHEDULED.search(message)
    if told is None:
        return ""
    required, available = map(json.loads, told.groups())
    short = {name: count for name, count in required.items() if count > available.get(name, 0)}
    return ", ".join(f"{count:g} {name}, of which {available.get(name, 0):g} are left" for name, count in short.items())


def cause(message: str) -> str:
    """What was raised in the end, of a message that may hold tracebacks; in one line."""
    raised = RAISED.findall(message)
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    kind, text = raised[-1] if raised else ("", lines[-1] if lines else "no reason was given")
    # What we raise says what is wrong and the mend; of other errors the kind may say more than the text.
    return text if kind in ("", "ValueError", "RuntimeError") else f"{kind}: {text}"
