"""How much do differences between variants vary from seed to seed? From finished runs of pilot seeds.

    python sweeps/launch.py --seeds 100 101 102
    python -m gemvg_repro.report.numbers.pilot --seeds 100 101 102

writes pilot.yaml beside this module, from which the report tells how small a difference the study can see. The pilot's
seeds must not be the study's, its other settings must be.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from ...study.parameters import project_root
from ..expected import Planned, planned
from ..labels import MODES, REFERENCES
from .collect import Collection, collect
from .paired_seeds import by_seed, differences
from .power import PILOT
from .table import look_up, numbers

_HEAD = """\
# How much paired differences of mean F1@0.5 vary over pilot seeds, which are none of the study's.
# Made by `python -m gemvg_repro.report.numbers.pilot`, not by hand.
"""


def measure(measured: pd.DataFrame, study: Planned) -> list[dict[str, Any]]:
    """One record a comparison and mode: mode, variant, against, seeds (how many), mean, deviation (n - 1).

    Raises:
        ValueError: no two variants have two of the seeds in common, or the runs are of other seeds.
    """
    f1, found = by_seed(measured), []
    for mode in MODES:
        for variant, others in REFERENCES.items():
            for other in others:
                each = differences(f1, variant, other, mode)
                if strange := set(map(int, each.index)) - set(study.seeds):
                    raise ValueError(f"the runs are of seeds {sorted(strange)} too, not of {list(study.seeds)} only")
                if len(each) > 1:
                    record = {"mode": mode, "variant": variant, "against": other, "seeds": len(each)}
                    found.append(
                        record | {"mean": round(float(each.mean()), 5), "deviation": round(float(each.std()), 5)}
                    )
    if not found:
        seeds = " ".join(map(str, study.seeds))
        raise ValueError(
            f"no two variants were evaluated with two of the seeds {seeds}; "
            f"{study.launch} --seeds {seeds} makes the runs"
        )
    return found


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
    found = measure(measured, study)
    f1 = look_up(measured, benchmark="generalised", kind="mean", metric="f1")
    samples = f1.n if f1 else 0
    content = {
        "seeds": list(study.seeds),
        "settings": dict(study.settings),
        "samples": samples,
        "source": source(collection, grid, samples),
        "differences": found,
    }
    out.write_text(_HEAD + yaml.safe_dump(content, sort_keys=False, width=120, default_flow_style=None), "utf-8")
    return found


def main() -> int:
    """Carries the command line out."""
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
    asked = parser.parse_args()
    try:
        study = planned(asked.grid, asked.seeds, asked.runs)
        collection = collect(asked.runs, study.keys)
        found = write(collection, numbers(collection, resamples=1), study, asked.grid.name, asked.out)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    width = max(len(f"{one['variant']} - {one['against']}") for one in found)
    for one in found:
        pair = f"{one['variant']} - {one['against']}"
        sys.stdout.write(
            f"{pair:{width}}  asked {one['mode']:6}  {one['seeds']} seeds  mean {100 * one['mean']:+6.2f}  "
            f"s.d. {100 * one['deviation']:5.2f} points\n"
        )
    sys.stdout.write(f"{asked.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
