"""What are the numbers of a study, and what do they say about the claims? Computed once for runs that do not change.

Beside `numbers.parquet`, `remembered.json` says of which code and which files it was made, and has the verdicts. It
holds as long as the same runs are finished, each of their files has the size and the time of change that it had, no
source file of this package is another, and both files are whole; else all is computed anew, to the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from ..files.hashing import SETTLED_S, sha256
from ..runs.directory import run_id
from ..runs.json_files import RunError, plain, read_json_or_none, write_json
from ..runs.layout import LOG, NUMBERS, REMEMBERED
from ..study.content import hash_of_files
from ..study.paths import PACKAGE
from .claims.claims import Claim, Judged, claims, judge
from .claims.rule import Difference
from .numbers.collect import Collection, Run
from .numbers.estimates import Estimate
from .numbers.resampling import Draws
from .numbers.table import numbers, save


def results(collection: Collection, out: Path) -> tuple[pd.DataFrame, list[Judged]]:
    """The table of all numbers, which is in `numbers.parquet` of the folder `out` afterwards, and every claim judged.

    Raises:
        NotWritten: the disk is full.
        ValueError: as `numbers` does.
    """
    key, latest = _key(collection)
    known = _recalled(collection, out, key)
    if known is not None:
        return known
    draws = Draws()
    measured, judged = numbers(collection, draws), judge(collection, draws)
    saved = save(measured, out)
    if collection.read_at - latest > SETTLED_S:  # else a file may have changed since without a sign of it
        content = plain({"key": key, "numbers": sha256(saved), "judged": [*map(_record, judged)]})
        write_json(out / REMEMBERED, content | {"whole": run_id(content)})
    return measured, judged


def _key(collection: Collection) -> tuple[dict[str, Any], float]:
    """What the results follow from; and when the latest of its files changed, in seconds since the epoch."""
    states = {run.directory.name: _state(run) for run in collection.counted}
    latest = max((changed for files in states.values() for _, changed in files.values()), default=0)
    sources = sorted(path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".yaml"))
    libraries = {name: version(name) for name in ("numpy", "pandas", "scipy")}
    return {"runs": run_id(states), "code": hash_of_files(sources, PACKAGE), "libraries": libraries}, latest / 1e9


def _state(run: Run) -> dict[str, tuple[int, int]]:
    """Size and time of change, in nanoseconds, of every file that lies in the folder of a finished run; of another, of
    its log alone, which says what it has cost."""
    finished = run.state == "finished"
    files = sorted(path for path in run.directory.iterdir() if path.is_file()) if finished else [run.directory / LOG]
    return {path.name: (path.stat().st_size, path.stat().st_mtime_ns) for path in files if path.is_file()}


def _recalled(collection: Collection, out: Path, key: dict[str, Any]) -> tuple[pd.DataFrame, list[Judged]] | None:
    """What is remembered; None where it is of other runs or other code, or damaged."""
    try:
        content = read_json_or_none(out / REMEMBERED) or {}
        whole = content.pop("whole", None)
        if whole != run_id(content) or content["key"] != key or content["numbers"] != sha256(out / NUMBERS):
            return None
    except (OSError, RunError):
        return None
    runs = {run.name: run for run in collection.counted}
    judged = [_judged(claim, each, runs) for claim, each in zip(claims(), content["judged"], strict=True)]
    return pd.read_parquet(out / NUMBERS), judged


def _record(judged: Judged) -> dict[str, Any]:
    """A verdict as JSON holds it, without its claim: they are in the order of claims.yaml."""
    return {
        "score": asdict(judged.score) if judged.score else None,
        "difference": asdict(judged.difference) if judged.difference else None,
        "verdict": judged.verdict,
        "runs": [run.name for run in judged.runs],
        "reason": judged.reason,
    }


def _judged(claim: Claim, record: dict[str, Any], runs: Mapping[str, Run]) -> Judged:
    score, difference = record["score"], record["difference"]
    return Judged(
        claim,
        Estimate(**_defined(score)) if score else None,
        Difference(**_defined(difference)) if difference else None,
        record["verdict"],
        tuple(runs[name] for name in record["runs"]),
        record["reason"],
    )


def _defined(record: dict[str, Any]) -> dict[str, Any]:
    """JSON has null where a number is nan."""
    return {name: float("nan") if value is None else value for name, value in record.items()}
