"""A row of the output: an image's entry in the answer of ``POST /analyze``, by the path of the picture."""

import pyarrow as pa

BOX = pa.struct([(side, pa.float64()) for side in ("left", "top", "right", "bottom")])
MASK = pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])
SCORED = [("label", pa.string()), ("label_id", pa.int32()), ("score", pa.float64()), ("box", BOX)]
FACE = [("label", pa.string()), ("confidence", pa.float64()), ("face_score", pa.float64()), ("box", BOX)]
SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("faces", pa.list_(pa.struct([*FACE, ("person", pa.int32())]))),
        ("instances", pa.list_(pa.struct([*SCORED, ("area", pa.int64()), ("mask", MASK)]))),
        ("people", pa.list_(pa.struct([("instance", pa.int32()), ("face", pa.int32()), ("mask", pa.string())]))),
        ("objects", pa.list_(pa.struct(SCORED))),
        ("errors", pa.list_(pa.struct([("code", pa.string()), ("message", pa.string()), ("task", pa.string())]))),
    ]
)
MAY_PASS = ("unreadable_file", "internal")
"""Codes of what is no fault of the picture, or may be none: the next run tries these again."""
