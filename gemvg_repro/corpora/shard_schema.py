"""Which columns do the parquet shards of a training set have?"""

from __future__ import annotations

import pyarrow as pa

_BOX = pa.list_(pa.float64(), 4)
PICTURE = pa.struct(
    [
        ("frame", pa.string()),
        ("path", pa.string()),
        ("member", pa.int32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("mark", _BOX),
        ("jpeg", pa.binary()),
    ]
)
_TURN = pa.struct([("question", pa.string()), ("answer", pa.string())])
_TARGET = pa.struct([("picture", pa.int32()), ("annotation", pa.string()), ("box", _BOX)])
_FURTHER = pa.struct(
    [
        ("kind", pa.string()),
        ("template", pa.string()),
        ("query", pa.string()),
        ("choice", pa.string()),
        ("chain", pa.string()),
        ("targets", pa.list_(_TARGET)),
    ]
)
"""Another sample about the same pictures."""
SCHEMA = pa.schema(
    [
        ("digest", pa.string()),
        ("id", pa.string()),
        ("cell", pa.string()),
        ("kind", pa.string()),
        ("source", pa.string()),
        ("licence", pa.string()),
        ("scene", pa.string()),
        ("template", pa.string()),
        ("query", pa.string()),
        ("choice", pa.string()),
        ("chain", pa.string()),
        ("question", pa.string()),
        ("sft", pa.bool_()),
        ("cot_sft", pa.bool_()),
        ("grpo", pa.bool_()),
        ("pictures", pa.list_(PICTURE)),
        ("targets", pa.list_(_TARGET)),
        ("turns", pa.list_(_TURN)),
        ("further", pa.list_(_FURTHER)),
    ]
)
