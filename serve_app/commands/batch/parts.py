"""The output folder: parts, each a Parquet file of some rows, written whole or not at all.

They are the checkpoint of a run, too: a path that has a row is not analysed again.
"""

import hashlib
from collections.abc import Iterator, Sequence
from io import BytesIO

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from serve_app.commands.batch.places import Place
from serve_app.commands.batch.rows import MAY_PASS, SCHEMA

PREFIX = "part-"


def write_part(output: Place, paths: Sequence[str], answers: Sequence[bytes]) -> pa.Table:
    """Write the rows of some answers, and return them.

    The part's name follows from its paths: what is analysed again after a failure overwrites itself.
    """
    rows = [{"path": path, **orjson.loads(answer)["images"][0]} for path, answer in zip(paths, answers, strict=True)]
    table = pa.Table.from_pylist(rows, SCHEMA)
    name = hashlib.sha256("\0".join(paths).encode()).hexdigest()[:24]
    _write(output / f"{PREFIX}{name}.parquet", table)
    return table


def parts(output: Place) -> list[Place]:
    """Those that are there."""
    return [output / name for name in output.files() if name.startswith(PREFIX)]


def read_parts(output: Place, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """Some columns of each part, or all; a list's field is ``faces.list.element.label``."""
    for part in parts(output):
        yield _read(part, columns)


def finished(output: Place) -> set[str]:
    """Paths of the pictures that have their row; rows whose error may pass are taken out first."""
    done: set[str] = set()
    for part in parts(output):
        errors = _read(part, ["path", "errors"])
        codes = [{error["code"] for error in row} for row in errors["errors"].to_pylist()]
        final = [not found.intersection(MAY_PASS) for found in codes]
        if not all(final):
            _write(part, _read(part).filter(pa.array(final)))
        done.update(pc.filter(errors["path"], pa.array(final)).to_pylist())
    return done


def _read(part: Place, columns: list[str] | None = None) -> pa.Table:
    return pq.ParquetFile(BytesIO(part.read())).read(columns)


def _write(part: Place, table: pa.Table) -> None:
    buffer = BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    part.write(buffer.getvalue())
