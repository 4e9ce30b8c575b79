"""How much do differences between variants vary from seed to seed? From finished runs of pilot seeds.

    python sweeps/launch.py --seeds 100 101 102
    python -m gemvg_repro.report.numbers.pilot --seeds 100 101 102

writes pilot.yaml beside this module, from which the report takes the smallest difference that the study can detect. The
pilot's seeds must not be the study's, its other settings must be.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from ...study.paths import project_root
from ..expected import Planned, planned
from ..labels import MODES, REFERENCES
from .collect import Collection, collect
from .lookup import look_up
from .paired_seeds import by_seed, differences
from .power import PILOT
from .resampling import Draws
from .table import numbers

_HEAD = """\
# How much paired differences of mean F1@0.5 vary over pilot seeds, which are none of the study's.
# Made by `python -m gemvg_repro.report.numbers.pilot`, not by hand.
"""


def measure(measured: pd.DataFrame, study: Planned) -> list[dict[str, Any]]:
    """One record per comparison and mode: mode, variant, against, seeds (how many), mean, deviation (n - 1).

    Raises:
        ValueError: no two variants have two of the seeds in common, or the runs are of other seeds.
    """
    f1, records = by_seed(measured), []
    for mode in MODES:
        for variant, others in REFERENCES.items():
            for other in others:
                each = differences(f1, variant, other, mode)
                if foreign := set(map(int, each.index)) - set(study.seeds):
                    raise ValueError(f"the runs are of seeds {sorted(foreign)} too, not of {list(study.seeds)} only")
                if len(each) > 1:
                    record = {"mode": mode, "variant": variant, "against": other, "seeds": len(each)}
                    records.append(
                        record | {"mean": round(float(each.mean()), 5), "deviation": round(float(each.std()), 5)}
                    )
    if not records:
        seeds = " ".join(map(str, study.seeds))
        raise ValueError(
            f"no two variants were evaluated with two of the seeds {seeds}; "
            f"{study.launch} --seeds {seeds} makes the runs"
        )
    return records


def source(collection: Collection, grid: str, samples: int) -> str:
    """Where the numbers come from, in a sentence."""
    runs = collection.finished("evaluation")
    commits = sorted({str(run.environment.get("commit", "unknown"))[:10] for run in runs})
    return (
        f"{len(runs)} evaluations of {grid} on {samples:,} samples, commit {', '.join(commits)}, "
        f"stored {time.strftime('%Y-%m-%d')}."
    )


def write(collection: Collection, measured: pd.DataFrame, study: Planned, grid: str, out: Path) -> list[dict[str, Any]]:
    """Writes the pilot's file from runs and their numbers; returns its differences. Raises ValueError as `measure`."""
    records = measure(measured, study)
    f1 = look_up(measured, benchmark="generalised", kind="mean", metric="f1")
    samples = f1.n if f1 else 0
    content = {
        "seeds": list(study.seeds),
        "settings": dict(study.settings),
        "samples": samples,
        "source": source(collection, grid, samples),
        "differences": records,
    }
    out.write_text(_HEAD + yaml.safe_dump(content, sort_keys=False, width=120, default_flow_style=None), "utf-8")
    return records


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = project_root()
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[100, 101, 102], help="of the pilot (default: %(default)s)"
    )
    parser.add_argument("--grid", type=Path, default=root / "sweeps" / "miniature.yaml", help="(default: %(default)s)")
    parser.add_argument(
        "--runs", type=Path, default=root / "runs", help="the folder of all runs (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, default=PILOT, help="(default: %(default)s)")
    arguments = parser.parse_args()
    try:
        study = planned(arguments.grid, arguments.seeds, arguments.runs)
        collection = collect(arguments.runs, study.keys)
        records = write(collection, numbers(collection, Draws(1)), study, arguments.grid.name, arguments.out)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    width = max(len(f"{record['variant']} - {record['against']}") for record in records)
    for record in records:
        pair = f"{record['variant']} - {record['against']}"
        sys.stdout.write(
            f"{pair:{width}}  {record['mode']:6} prompts  {record['seeds']} seeds  mean {100 * record['mean']:+6.2f}  "
            f"s.d. {100 * record['deviation']:5.2f} points\n"
        )
    sys.stdout.write(f"{arguments.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
