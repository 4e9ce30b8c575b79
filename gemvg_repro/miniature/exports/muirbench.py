"""How is the miniature world written in MuirBench's format? Multiple choice about several images, as parquet."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ..questions import WorldQuestion
from ..understanding import different, how_many, same
from ..world import Frame

FILE = "test-00000-of-00001.parquet"

TASKS: dict[str, tuple[str, Callable[[Random, int], WorldQuestion]]] = {
    "Attribute Similarity": ("overall similarity", same),
    "Difference Spotting": ("partial similarity", different),
    "Counting": ("independent", how_many),
}
"""Three of the twelve tasks, as MuirBench spells them: the relation of their pictures, and our question of that sort.

The counterpart without an answer that every question of MuirBench has is left out: the world has no words for it.
"""


def write(folder: Path, seed: int, each: int) -> Path:
    """Writes the table, with `each` records of every task, into `folder`; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for task, (relation, ask) in TASKS.items():
        rng = Random(f"muirbench/{seed}/{task}")
        for _ in range(each):
            question = ask(rng, rng.randint(2, 3))
            rows.append(
                {
                    "idx": str(len(rows)),
                    "task": task,
                    "image_relation": relation,
                    "image_type": "synthetic",
                    "question": question.query,
                    "options": list(question.options),
                    "answer": question.choice,
                    "image_list": [_stored(frame, n) for n, frame in enumerate(question.frames)],
                }
            )
    pq.write_table(pa.Table.from_pylist(rows), folder / FILE)
    return folder / FILE


def _stored(frame: Frame, number: int) -> dict[str, Any]:
    """A picture as a hub's data sets store it."""
    content = io.BytesIO()
    Image.fromarray(frame.pixels()).save(content, format="PNG")
    return {"bytes": content.getvalue(), "path": f"{number}.png"}
