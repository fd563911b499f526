"""Generate the modules of every protocol's ``protos/`` from its .proto files: ``python -m serve_app.grpc.generate``."""

import re
from pathlib import Path

from grpc_tools import protoc  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[2]
PROTOS = Path(__file__).parents[1] / "protocols"
UNCHECKED = "# mypy: ignore-errors\n# ruff: noqa\n# fmt: off\n"


def main() -> None:
    """Run protoc, then move the messages from the default descriptor pool to our private one.

    Raises SystemExit where protoc fails.
    """
    well_known = Path(protoc.__file__).parent / "_proto"
    sources = sorted(str(path.relative_to(ROOT)) for path in PROTOS.glob("*/protos/*.proto"))
    targets = [f"--{kind}_out={ROOT}" for kind in ("python", "pyi", "grpc_python")]
    if protoc.main(["protoc", f"-I{ROOT}", f"-I{well_known}", *targets, *sources]) != 0:
        raise SystemExit("protoc failed")
    for path in PROTOS.glob("*/protos/*_pb2*.py*"):
        path.write_text(UNCHECKED + in_private_pool(path.read_text(encoding="utf-8")), encoding="utf-8")
        if path.name.endswith("_pb2_grpc.py") and "_to_server(" not in path.read_text(encoding="utf-8"):
            path.unlink()


def in_private_pool(code: str) -> str:
    """The same generated code, with ``serve_app.grpc.private_pool`` in the place of the default pool."""
    return re.sub(
        r"^from google\.protobuf import descriptor_pool as (\w+)$",
        r"from serve_app.grpc import private_pool as \1",
        code,
        flags=re.MULTILINE,
    )


if __name__ == "__main__":
    main()
