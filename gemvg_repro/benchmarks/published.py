"""Which scores are published, and on which revision of the benchmark's file? The data are in published.yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml


@dataclass(frozen=True, slots=True)
class Published:
    """One model's row of a published table, in percent, in the order of `columns`."""

    benchmark: str
    model: str
    columns: tuple[str, ...]
    values: tuple[float, ...]
    metric: str
    source: str
    revision: str


@cache
def published() -> tuple[Published, ...]:
    """All rows, in the order of the file."""
    rows: list[Published] = []
    for table in yaml.safe_load((files(__package__) / "published.yaml").read_text("utf-8")):
        common = {"benchmark": table["benchmark"], "metric": table["metric"], "source": table["source"]}
        columns = tuple(table["columns"])
        for part in (table, table.get("other_rows")):
            if part:
                rows += _rows(part["rows"], columns, common | {"revision": part["revision"]})
    return tuple(rows)


def _rows(rows: Mapping[str, Sequence[float]], columns: tuple[str, ...], common: Mapping[str, str]) -> list[Published]:
    return [Published(model=m, columns=columns, values=tuple(map(float, v)), **common) for m, v in rows.items()]
