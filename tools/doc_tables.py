"""Writes the tables of README.md and docs/ whose content stands elsewhere: in the code, or in finished runs.

    python -m tools.doc_tables                       those of the code
    python -m tools.doc_tables --runs runs           those of results too, from a folder of runs
    python -m tools.doc_tables --bundle FILE         the same from a bundle of runs (gemvg_repro.runs.bundle)
    python -m tools.doc_tables --check               changes nothing; the exit status says whether all are up to date

A table stands between `<!-- table: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from gemvg_repro.benchmarks.registry import NAMES
from gemvg_repro.report.measures import DEFINITIONS
from gemvg_repro.runs import bundle
from gemvg_repro.study.paths import project_root
from gemvg_repro.study.variants import TRAINED
from tools import result_tables

PLACE = re.compile(r"(<!-- table: ([a-z_]+) -->\n)(.*?)(<!-- end -->)", re.S)

MEASURED_IN = {
    "report/numbers/estimates.py": ("mean F1", "referential", "semantic", "spatial", "temporal", "reasoning",
                                    "no-target accuracy", "parse failures", "response length"),
    "report/numbers/slices.py": ("neutral", "perception", "one hop", "more hops"),
    "grounding/rewards.py": ("total", "f1", "localisation", "count", "picture", "format"),
    "report/numbers/rewards.py": ("gain",),
    "report/numbers/costs.py": ("M tokens", "TFLOP", "PFLOP", "EFLOP", "peak memory, GB"),
    "report/numbers/paired_seeds.py": ("s.d. over seeds",),
    "report/claims/rule.py": ("difference", "ours"),
    "benchmarks/generalised/shortcuts.py": ("best constant box", "image-index prior", "grey images", "shuffled images",
                                            "at least 3 times each"),
    "benchmarks/suites/mig_bench.py": ("IOU@0.5", "IOU@0.7", "AVE_IOU"),
    "benchmarks/suites/mc_bench.py": ("weighted_ap50", "image_accuracy"),
    "benchmarks/coco_ap.py": ("mAP", "AP50"),
    "benchmarks/multiple_choice.py": ("accuracy",),
}  # fmt: skip
"""The module of the package that computes each measure."""


def of_code() -> dict[str, str]:
    """The tables that the code holds, by name."""
    places = {measure: module for module, measures in MEASURED_IN.items() for measure in measures}
    metrics = [
        (f"`{name}`", text, f"[{places[name]}](../gemvg_repro/{places[name]})" if name in places else "")
        for name, text in DEFINITIONS.items()
    ]
    modes = [
        (f"`{mode}`", variant.label, f"`{variant.parent or 'base'}`", variant.stage, _prompts(mode))
        for mode, variant in TRAINED.items()
    ]
    return {
        "metrics": _table(("measure", "definition", "computed in"), metrics),
        "modes": _table(("mode", "name in the report", "starts from", "data of stage", "prompts in training"), modes),
        "benchmarks": ", ".join(f"`{name}`" for name in NAMES) + ".",
    }


def _prompts(mode: str) -> str:
    variant = TRAINED[mode]
    return " and ".join(variant.modes) if variant.grpo else "answers of both, mixed" if variant.parent else "answers"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    return "\n".join([*lines, *(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)])


def filled(text: str, tables: Mapping[str, str]) -> str:
    """A page with these tables in their places; others stay as they are.

    Raises:
        KeyError: a place that no table of the code or of results has the name of is not checked here.
    """
    return PLACE.sub(lambda m: f"{m[1]}{tables[m[2]].strip()}\n{m[4]}" if m[2] in tables else m[0], text)


def pages(root: Path) -> list[Path]:
    return [page for page in (root / "README.md", *sorted((root / "docs").glob("*.md"))) if page.is_file()]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 if something is not up to date."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.doc_tables",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--runs", type=Path, help="a folder of runs, for the tables of results")
    source.add_argument("--bundle", type=Path, help="a bundle of runs, likewise")
    parser.add_argument("--grid", type=Path, help="the grid that planned them (default: sweeps/miniature.yaml)")
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args(arguments)
    tables = of_code()
    with tempfile.TemporaryDirectory() as folder:
        runs = options.runs
        if options.bundle:
            runs = Path(folder) / "runs"
            bundle.read(options.bundle, runs)
        if runs:
            tables |= result_tables.of_runs(runs, options.grid)
    stale = [
        page for page in pages(project_root()) if filled(page.read_text("utf-8"), tables) != page.read_text("utf-8")
    ]
    for page in stale:
        if not options.check:
            page.write_text(filled(page.read_text("utf-8"), tables), "utf-8")
        print(f"{page}: {'not up to date' if options.check else 'written'}")
    return int(options.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
