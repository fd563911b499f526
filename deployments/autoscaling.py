"""How many replicas a model needs, by the work that it does and the work that waits.

Serve's own policy divides the requests in progress by a fixed number, which is right for one model on one machine only.
Here each replica reports what share of its device's time it is busy and what an image costs there, both measured; so a
slow model grows before a fast one, and the same config fits a laptop and a GPU.

Runs in Serve's controller, which may not have this project's code: it stands on nothing but the standard library.
"""

import sys
from typing import Any, Protocol

from ray import cloudpickle

BUSY = "busy"
COST_S = "cost_s"
"""Names of what ``ModelDeployment.record_autoscaling_stats`` reports."""

# Serve pickles a policy by name, which only works where the controller can import it; by value it works everywhere.
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # type: ignore[no-untyped-call]


class Context(Protocol):
    """What is read of Serve's AutoscalingContext."""

    current_num_replicas: int
    total_num_requests: float
    """Ongoing ones and those queued at callers, averaged over ``look_back_period_s``."""
    aggregated_metrics: dict[str, dict[Any, float]] | None
    """By name and replica, averaged likewise."""


def by_work(
    context: Context, *, utilization: float = 0.75, drain_s: float = 3.0, **_: Any
) -> tuple[float, dict[str, Any]]:
    """Replicas wanted, and no state; Serve bounds it and waits ``upscale_delay_s`` and ``downscale_delay_s``.

    utilization: the share of its time that a replica's device should be busy; the rest takes up bursts.
    drain_s: seconds in which the requests that wait should be answered.
    """
    metrics = context.aggregated_metrics or {}
    busy, costs = metrics.get(BUSY, {}), [cost for cost in metrics.get(COST_S, {}).values() if cost > 0]
    if not context.current_num_replicas or not costs:
        # Nothing is known of the cost yet: one replica answers the first requests and measures it.
        return float(max(context.current_num_replicas, context.total_num_requests > 0)), {}
    cost_s = sum(costs) / len(costs)
    work = sum(busy.values())
    # A busy replica always has a request or two in progress, which do not wait.
    waiting_s = max(0.0, context.total_num_requests - 2 * work) * cost_s
    return work / utilization + waiting_s / drain_s, {}
