"""OpenVINO's package, imported so that it reports nothing to its makers; import it from here only.

``import openvino`` alone sends events to an analytics service, unless its telemetry package cannot be imported.
"""

import sys
from functools import cache

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

import openvino  # noqa: E402

__all__ = ["core", "openvino"]


@cache
def core() -> openvino.Core:
    """The runtime, one a process."""
    return openvino.Core()
