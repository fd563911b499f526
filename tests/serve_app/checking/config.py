"""A Serve config with every kind of key."""

from typing import Any

CONFIG: dict[str, Any] = {
    "proxy_location": "HeadOnly",
    "target_capacity": 50.0,
    "http_options": {"host": "127.0.0.1", "port": 8000, "request_timeout_s": 60},
    "grpc_options": {"port": 9000, "grpc_servicer_functions": [], "enable_reflection": False},
    "logging_config": {"encoding": "JSON", "log_level": "INFO", "enable_access_log": False},
    "tracing_config": {"enabled": True, "sampling_ratio": 0.5},
    "controller_options": {"runtime_env": {"env_vars": {"RAY_SERVE_X": "1"}}},
    "applications": [
        {
            "name": "maskgraph",
            "route_prefix": "/",
            "import_path": "serve_app.app:build",
            "external_scaler_enabled": False,
            "runtime_env": {"env_vars": {"OMP_NUM_THREADS": "1"}, "config": {"setup_timeout_seconds": 60}},
            "autoscaling_policy": {"policy_function": "policies:scale", "policy_kwargs": {"anything": 1}},
            "logging_config": {"log_level": "DEBUG"},
            "args": {
                "device": "cpu",
                "threads": 2,
                "timeout_s": 30,
                "dialects": ["native"],
                "object_detection": "goods.yaml",
            },
            "deployments": [
                {"name": "Ingress", "num_replicas": 2, "backpressure_config": {"status_code": 429}},
                {
                    "name": "MaskDetection",
                    "max_ongoing_requests": 16,
                    "max_queued_requests": 100,
                    "graceful_shutdown_timeout_s": 20,
                    "health_check_period_s": 10,
                    "autoscaling_config": {
                        "min_replicas": 1,
                        "max_replicas": 2,
                        "target_ongoing_requests": 8,
                        "policy": {"policy_function": "policies:scale", "policy_kwargs": {"anything": 1}},
                    },
                    "ray_actor_options": {
                        "num_cpus": 0.4,
                        "resources": {"anything": 1},
                        "runtime_env": {"env_vars": {"OMP_NUM_THREADS": "1"}},
                    },
                    "user_config": {"max_batch_images": 8, "thresholds": {"face_threshold": 0.6}},
                },
                {
                    "name": "InstanceSegmentation",
                    "request_router_config": {"request_router_class": "routers:Own", "initial_backoff_s": 0.1},
                    "deployment_actors": [{"name": "cache", "actor_class": "actors:Cache"}],
                    "gang_scheduling_config": {"gang_size": 2},
                    "logging_config": {"logs_dir": "logs"},
                    "user_config": {"thresholds": {"score_threshold": 0.3}},
                },
                {
                    "name": "ObjectDetection",
                    "ray_actor_options": {"num_cpus": 0.4},
                    "user_config": {"max_batch_images": 4, "thresholds": {"score_threshold": 0.3, "nms_iou": 0.5}},
                },
            ],
        }
    ],
}
