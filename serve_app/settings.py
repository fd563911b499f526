"""Typed arguments of the application: ``applications[].args`` in the YAML. Loads no torch."""

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from deployments.models.card import TASKS, Task
from deployments.settings import ReplicaSettings
from serve_app.admission import Capacity
from serve_app.limits import Limits

__all__ = ["ReplicaSettings", "Settings"]

Dialect = Literal["native", "paddlehub", "kserve", "tf_serving", "open_inference", "roboflow"]


class Settings(BaseModel):
    """Every key is checked; an unknown one stops the start."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mask_detection: str = "face_mask"
    """An embedded model's name, or the path of a model card."""
    instance_segmentation: str = "solov2_people"
    object_detection: str | None = None
    """Without a card the service has no such branch."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """``auto`` is CUDA where a replica has a device, else the CPU."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """What the networks compute in. Only in float32 is an answer the same to 1e-4 in every batch. bfloat16 needs
    instructions for it, float16 CUDA."""
    engine: Literal["auto", "eager"] = "auto"
    """What networks run in: ``auto`` is OpenVINO on the CPU, where it is installed and converts them, else torch."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads of each model replica; by default as many as the cores that it may use."""

    max_body_bytes: int = Field(default=64 * 1024 * 1024, ge=1)
    """Of one request, also after gzip is undone."""
    max_images: int = Field(default=64, ge=1)
    """Of one request."""
    max_pixels: int = Field(default=50_000_000, ge=1)
    """Width times height of one image."""
    timeout_s: float = Field(default=30.0, gt=0)
    """For one request, from its arrival on; a request may ask for less, not for more."""

    decode_threads: int = Field(default=2, ge=1)
    """Of each ingress replica."""
    pixels_in_flight: int = Field(default=64_000_000, ge=1)
    """Pixels of the images that one ingress replica holds decoded at once; one image with more goes alone."""
    bytes_in_flight: int = Field(default=512 * 1024 * 1024, ge=1)
    """Bytes of the bodies that one server, and of the images that one ingress replica, holds at once."""
    upload_timeout_s: float = Field(default=20.0, gt=0)
    """In which a body must have come in. The deadline of its request runs meanwhile."""
    api_keys_env: str | None = None
    """Name of an environment variable with comma-separated keys; requests must then carry one."""
    api_keys_file: str | None = None
    """Path of a YAML file of keys' digests, each with its limits; changes are taken over without a restart."""
    public: bool = False
    """Whether a service without keys may listen beyond this machine; else it refuses to start there."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may read answers in a browser, such as ``https://photos.example``; ``*`` for every one."""
    dialects: tuple[Dialect, ...] = get_args(Dialect)
    """The protocols that are served; ``kserve`` is KServe V1 and TensorFlow Serving over REST, ``tf_serving`` gRPC."""

    @property
    def capacity(self) -> Capacity:
        """What one process may hold."""
        return Capacity(self.pixels_in_flight, self.bytes_in_flight)

    @property
    def limits(self) -> Limits:
        """What one request may send."""
        return Limits(
            self.max_body_bytes, self.max_images, self.max_pixels, self.upload_timeout_s, self.bytes_in_flight
        )

    def cards(self) -> dict[Task, str]:
        """The model card of each branch that the service has."""
        named = {task: getattr(self, task) for task in TASKS}
        return {task: card for task, card in named.items() if card is not None}
