"""How is a study handed on? A reproducibility statement, a model card and a one-page summary, from the report's data.

    python -m gemvg_repro.report.documents [--grid sweeps/miniature.yaml] [--runs runs] [--out FOLDER]

Writes REPRODUCIBILITY.md, MODEL_CARD.md and SUMMARY.md, by default into the folder of the report.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from ..files.atomic import write_bytes
from ..study.parameters import ReportParameters
from ..study.paths import absolute
from .claims.claims import Judged
from .claims.rule import RULE
from .expected import Planned, planned
from .labels import MODES, VARIANTS, look
from .numbers.collect import Collection, collect
from .numbers.lookup import look_up
from .page.escaping import plain
from .remembered import results
from .sections.costs import spent_by_stage
from .sections.official_scores import LABELS
from .sections.provenance import environment, ledger

DOCUMENTS = ("REPRODUCIBILITY.md", "MODEL_CARD.md", "SUMMARY.md")


def write(
    collection: Collection, measured: pd.DataFrame, judged: Sequence[Judged], study: Planned, out: Path
) -> list[Path]:
    """Writes the three documents into `out`; returns their paths. What has no finished run is said to have none."""
    templates = Environment(
        loader=PackageLoader("gemvg_repro.report", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown; what is not ours is escaped by `_word`
    )
    known = facts(collection, measured, judged, study)
    out.mkdir(parents=True, exist_ok=True)
    for name in DOCUMENTS:
        write_bytes(out / name, templates.get_template(f"{name}.jinja").render(known).encode())
    return [out / name for name in DOCUMENTS]


def facts(collection: Collection, measured: pd.DataFrame, judged: Sequence[Judged], study: Planned) -> dict[str, Any]:
    """What the documents say, in words and numbers as they are printed."""
    finished = [run for run in collection.counted if run.state == "finished"]
    stages = spent_by_stage(measured)
    machine = environment(collection).frame
    return {
        "launch": study.launch,
        "seeds": study.seeds,
        "settings": {key: value for key, value in study.settings.items() if value},
        "profile": study.settings["profile"],
        "finished": len(finished),
        "expected": len(collection.counted) + len(collection.missing),
        "hours": f"{stages['in_all'].sum() / 3600:.2f}",
        "stages": [
            (purpose, "" if purpose == "data" else look(variant).label, int(row["runs"]), f"{row['in_all'] / 3600:.2f}")
            for (purpose, variant), row in zip(stages.index, stages.to_dict("records"), strict=True)
        ],
        "scores": list(_scores(measured)),
        "claims": [_claim(each) for each in judged],
        "rule": RULE,
        "machine": [(_word(what), _word(value)) for what, value in machine["value"].items()] if len(machine) else [],
        "assumptions": len(ledger().frame),
    }


def _scores(measured: pd.DataFrame) -> Any:
    """Of each variant that was evaluated: its name, prompts, mean F1 and interval in per cent."""
    for mode, label in MODES.items():
        for variant in VARIANTS:
            where = {"variant": variant, "mode": mode, "benchmark": "generalised", "kind": "mean", "metric": "f1"}
            if e := look_up(measured, **where):
                yield look(variant).label, label, f"{100 * e.value:.1f}", f"[{100 * e.low:.1f}, {100 * e.high:.1f}]"


def _claim(each: Judged) -> tuple[str, str, str, str]:
    """A claim in words: what, on which benchmark, the difference in points, and the verdict."""
    d, claim = each.difference, each.claim
    points = f"{d.value:+.1f} [{d.low:+.1f}, {d.high:+.1f}]" if d else "none"
    reason = f" ({each.reason})" if each.reason else ""
    return claim.text, LABELS.get(claim.benchmark, claim.benchmark), points, _word(f"{each.verdict}{reason}")


def _word(text: object) -> str:
    """Text that is not ours, as a cell of a Markdown table."""
    return plain(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "'")


def main(arguments: Sequence[str] | None = None) -> int:
    defaults = ReportParameters()
    parser = argparse.ArgumentParser(prog="python -m gemvg_repro.report.documents", description=__doc__.split("\n")[0])
    parser.add_argument("--grid", default=defaults.grid, help="the grid that says which runs are expected")
    parser.add_argument("--runs", type=Path, default=absolute(defaults.runs), help="the folder of run directories")
    parser.add_argument("--out", type=Path, help="where they are written; by default RUNS/report")
    options = parser.parse_args(arguments)
    study = planned(absolute(options.grid), [], options.runs)
    collection = collect(options.runs, study.keys)
    report = options.runs / defaults.folder
    for path in write(collection, *results(collection, report), study, options.out or report):
        print(path)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
