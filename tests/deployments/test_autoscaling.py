import math
import pickle
import subprocess
import sys
from dataclasses import dataclass, field

import pytest
from ray import cloudpickle

from deployments.autoscaling import by_work


@dataclass
class Context:
    current_num_replicas: int
    total_num_requests: float
    aggregated_metrics: dict[str, dict[str, float]] | None = field(default_factory=dict)


def context(replicas: int, requests: float, busy: float, cost_s: float) -> Context:
    names = [f"replica {n}" for n in range(replicas)]
    return Context(replicas, requests, {"busy": dict.fromkeys(names, busy), "cost_s": dict.fromkeys(names, cost_s)})


def wanted(context: Context, **settings: float) -> int:
    replicas, state = by_work(context, **settings)
    assert state == {}
    return math.ceil(replicas)


def test_an_idle_service_wants_nothing() -> None:
    assert wanted(context(3, 0, 0.0, 0.1)) == 0


def test_a_service_at_its_utilization_stays() -> None:
    assert wanted(context(4, 4, 0.75, 0.1)) == 4


def test_a_busy_service_grows_by_what_waits_and_what_it_costs() -> None:
    # 32 requests of a tenth of a second on one replica: 30 wait, 3 seconds of work.
    assert wanted(context(1, 32, 1.0, 0.1)) == 3
    assert wanted(context(1, 32, 1.0, 0.01)) == 2
    assert wanted(context(1, 302, 1.0, 0.1)) == 12


def test_a_slow_model_grows_before_a_fast_one_under_the_same_requests() -> None:
    assert wanted(context(2, 40, 1.0, 0.2)) > wanted(context(2, 40, 0.4, 0.02))


def test_half_the_load_gives_back_half() -> None:
    assert wanted(context(8, 3, 0.35, 0.1)) == 4


def test_settings() -> None:
    assert wanted(context(4, 4, 0.75, 0.1), utilization=0.5) == 6
    assert wanted(context(1, 32, 1.0, 0.1), drain_s=1.0) == 5


@pytest.mark.parametrize("metrics", [None, {}, {"busy": {"a": 0.0}, "cost_s": {"a": 0.0}}])
def test_before_anything_is_measured_what_is_there_stays(metrics: dict[str, dict[str, float]] | None) -> None:
    assert wanted(Context(2, 50, metrics)) == 2


def test_from_zero_the_first_request_brings_one_replica() -> None:
    assert wanted(Context(0, 0, None)) == 0
    assert wanted(Context(0, 0.2, None)) == 1


def test_the_policy_travels_by_value_to_where_this_project_is_not() -> None:
    code = (
        "import pickle, sys; sys.modules['deployments'] = None\n"
        "policy = pickle.loads(sys.stdin.buffer.read())\n"
        "class Context: current_num_replicas, total_num_requests, aggregated_metrics = 0, 1, None\n"
        "print(policy(Context()))"
    )
    sent = cloudpickle.dumps(by_work)
    done = subprocess.run([sys.executable, "-c", code], input=sent, capture_output=True, timeout=60)
    assert done.stdout.decode().strip() == "(1.0, {})", done.stderr.decode()[-500:]
    assert pickle.loads(sent) is not by_work
