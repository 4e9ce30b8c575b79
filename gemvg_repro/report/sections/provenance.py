"""Where do the numbers come from: which runs, machines and training data, and which assumptions?"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ..numbers.collect import Collection, completeness
from ..page.table import Cell, Table, Target, records

ASSUMPTIONS = Path(__file__).with_name("assumptions.yaml")

_PRIVATE = ("host", "started", "earlier", "updated")
"""What differs between runs without moving a number; kept in each run's environment.json only."""


def complete(collection: Collection, launch: str = "python sweeps/launch.py") -> Table:
    """How many runs are expected, found and finished, and one row per run, with the command that makes or resumes it.

    `launch` makes all of them. The numbers of all tables lead to these rows.
    """
    table = completeness(collection)
    states = table["state"].value_counts()
    expected = len(table) - states.get("left out", 0)
    caption = (
        f"{expected} runs expected, {expected - states.get('missing', 0)} found, "
        f"{states.get('finished', 0)} finished, {states.get('unfinished', 0)} unfinished, "
        f"{states.get('failed', 0) + states.get('unreadable', 0)} failed."
    )
    given = {run.name: run.result.get("command", "") for run in collection.counted if run.purpose == "answers"}
    rows: list[dict[str, Cell]] = []
    for name, each, state, note in table.itertuples(index=False):
        command = "" if state == "left out" else given.get(name, f"{launch} --only {shlex.quote(name)}")
        line: Cell = each if state == "left out" else Target(each, name)
        rows.append({"run": name, "id": line, "state": state, "note": note, "command": command and f"`{command}`"})
    return records("completeness", caption, rows)


def trained_on(collection: Collection) -> Table:
    """One row per cell of the composed training set of the first finished data run that has one: its quota, the samples
    made, and why anchors gave no sample. Empty without one."""
    composed = [run.result for run in collection.finished("data") if run.result.get("cells")]
    result: Mapping[str, Any] = composed[0] if composed else {}
    rows = [
        {
            "cell": name,
            "kind": cell["kind"],
            "source": cell["source"],
            "quota": f"{cell['quota']:,}",
            "samples": f"{cell['made']:,}",
            "follow-up questions": f"{cell['further']:,}",
            "anchors without a sample": "; ".join(f"{why}: {n:,}" for why, n in cell["not_made"].items()) or "none",
        }
        for name, cell in result.get("cells", {}).items()
    ]
    counts = result.get("counts", {}).get("train", {})
    targets = ", ".join(f"{count:,} with {number}" for number, count in counts.get("targets", {}).items())
    unused = sum(sum(source["skipped"].values()) for source in result.get("sources", {}).values())
    caption = (
        f"Composed of {sum(source['frames'] for source in result['sources'].values()):,} annotated images: "
        f"{sum(cell['made'] for cell in result['cells'].values()):,} samples, and follow-up questions about "
        f"their images. Training samples by number of targets: {targets or 'not counted'}. Source records that were "
        f"refused: {unused:,}. Every sample was verified against its annotation."
        if rows
        else "No finished data run has a composed training set."
    )
    return records("trained-on", caption, rows)


def environment(collection: Collection) -> Table:
    """Versions, machine and commit of the finished runs; where they differ, each value and its runs."""
    values: dict[str, dict[str, int]] = {}
    finished = [run for run in collection.counted if run.state == "finished"]
    for run in finished:
        for key, value in _flat({k: v for k, v in run.environment.items() if k not in _PRIVATE}).items():
            counts = values.setdefault(key, {})
            counts[value] = counts.get(value, 0) + 1
    rows: list[dict[str, str]] = []
    for key, counts in values.items():
        same = len(counts) == 1 and sum(counts.values()) == len(finished)
        texts = [value if same else f"{value} ({n} run{'s' * (n != 1)})" for value, n in sorted(counts.items())]
        rows.append({"what": key, "value": "; ".join(texts)})
    return records("environment", "Machines and versions of the finished runs, as each recorded them.", rows)


def ledger(path: Path = ASSUMPTIONS) -> Table:
    """What the paper does not state: our choice, why, and how to vary it.

    Raises:
        ValueError: an entry lacks a field, or has one too many.
    """
    fields = ["statement", "choice", "why", "ablation"]
    entries: list[dict[str, Any]] = yaml.safe_load(path.read_text("utf-8"))
    rows: list[dict[str, str]] = []
    for entry in entries:
        if sorted(entry) != sorted(fields):
            raise ValueError(f"{path.name}: an entry has the fields {sorted(entry)}, expected {fields}: {entry}")
        heads = ("not published", "our choice", "why", "how to vary it")
        rows.append({head: " ".join(str(entry[field]).split()) for head, field in zip(heads, fields, strict=True)})
    return records("assumptions", f"{len(rows)} assumptions.", rows)


def _flat(value: dict[str, Any], above: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, each in value.items():
        if isinstance(each, dict):
            flat |= _flat(each, f"{above}{key} ")
        else:
            flat[f"{above}{key}"] = each if isinstance(each, str) else json.dumps(each)
    return flat
