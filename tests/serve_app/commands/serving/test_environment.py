from pathlib import Path

from serve_app.commands.serving.environment import CONFIG, load_variables, set_for_serving

ROOT = Path(__file__).parents[4]


def test_ray_starts_in_a_cluster_of_its_own_and_in_the_foreground() -> None:
    environment = {"TMPDIR": "/long", "PATH": "/bin"}
    set_for_serving(environment, load=False)
    assert environment == {
        "PATH": "/bin",
        "RAY_ADDRESS": "local",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }


def test_what_the_operator_set_stays() -> None:
    environment = {"RAY_ADDRESS": "10.0.0.1:6379", "RAY_SERVE_ENABLE_HA_PROXY": "0"}
    set_for_serving(environment, load=True)
    assert environment["RAY_ADDRESS"] == "10.0.0.1:6379"
    assert environment["RAY_SERVE_ENABLE_HA_PROXY"] == "0"
    assert environment["RAY_SERVE_THROUGHPUT_OPTIMIZED"] == "1"


def test_the_package_brings_the_files_of_the_repository() -> None:
    assert CONFIG.read_bytes() == (ROOT / "serve_config.yaml").read_bytes()
    assert all(
        f"{name}={value}\n" in (ROOT / "configs/load.env").read_text() for name, value in load_variables().items()
    )
