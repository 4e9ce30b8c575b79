"""How often do the report's 95 % intervals hold the truth? Simulated test sets of the grids' own sizes.

    python -m tools.interval_coverage [SETS [CASE ...]]

CASE is a part of a case's name, such as `F1`; without any, all are simulated.

Every set is of a model of known skill: scenes of several samples, whose difficulty they share. The intervals are
those of the report. The truth of what is not linear in its samples, such as an average precision, is its mean over the
sets. Prints the coverage of each; between 93 and 97 % is required.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.random import Generator

from gemvg_repro.benchmarks.averages import averages
from gemvg_repro.benchmarks.sample_scores import Average
from gemvg_repro.grounding.samples import GROUNDING_KINDS
from gemvg_repro.report.claims.rule import difference
from gemvg_repro.report.numbers.estimates import Estimate, estimates, hit_rate
from gemvg_repro.report.numbers.official_scores import share
from gemvg_repro.report.numbers.resampling import resampling

REQUIRED = (0.93, 0.97)
RESAMPLES = 200
"""Enough for a variance. Percentiles are of as many resamples as the report's."""

PERCENTILES_OF = 1000

Simulated = tuple[float, float, float, float]
"""Value, low, high and the truth (nan: the mean over the sets)."""


def scenes_of(rng: Generator, samples: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The scene of each sample, of `size` samples each, and its skill: about 0.7, by scene."""
    scene = np.arange(samples) // size
    skill = rng.beta(7, 3, size=scene.max() + 1)
    return scene, skill[scene]


def accuracy(rng: Generator, samples: int = 300, size: int = 3) -> Simulated:
    scene, skill = scenes_of(rng, samples, size)
    measured = hit_rate((rng.random(samples) < skill).astype(float), scene)
    return measured.value, measured.low, measured.high, 0.7


def official(rng: Generator, average: Average, groups: int, each: int, size: int) -> Simulated:
    """A metric of `groups` groups of `each` samples, scenes of `size` samples of one group."""
    samples = groups * each
    scene, skill = scenes_of(rng, samples, size)
    group = np.arange(samples) // each
    hit = rng.random(samples) < skill
    rows = pd.DataFrame({"sample": np.arange(samples).astype(str), "scene": scene, "kind": group, "group": group})
    if average == "macro" or average == "micro":
        rows["value"] = hit.astype(float)
    else:
        boxes = rng.integers(1, 4, samples)
        right = rng.binomial(boxes, skill)
        wrong = rng.poisson(0.4, samples)
        order: list[object] = [rng.permutation([1] * f + [0] * w) for f, w in zip(right, wrong, strict=True)]
        rows["true"], rows["category"] = boxes, 1
        rows["matched"] = pd.Series(order)
        rows["confidences"] = pd.Series([np.ones(f + w) for f, w in zip(right, wrong, strict=True)])
        rows["ignored"] = pd.Series([np.zeros(f + w) for f, w in zip(right, wrong, strict=True)])
    drawn = resampling(rows, RESAMPLES, int(rng.integers(2**31)))
    places = drawn.samples["scene"].to_numpy()[drawn.samples.index.get_indexer(pd.Index(rows["sample"]))]
    measured = share(averages(rows, average, places, drawn.draws), samples, len(np.unique(scene)))
    return measured.value, measured.low, measured.high, 0.7 if average in ("micro", "macro") else np.nan


def f1(rng: Generator, samples: int = 300, size: int = 2) -> Simulated:
    """The report's mean F1 over the five kinds, of samples with one to three targets."""
    scene, skill = scenes_of(rng, samples, size)
    true = rng.integers(1, 4, samples)
    tp = rng.binomial(true, skill)
    predicted = tp + rng.binomial(true - tp, 0.8)
    kind = np.array(GROUNDING_KINDS)[scene % len(GROUNDING_KINDS)]
    table = pd.DataFrame({
        "sample": np.arange(samples).astype(str), "scene": scene, "kind": kind, "n_true": true,
        "n_predicted": predicted, "tp": tp, "iou": 0.0, "picture_ok": True, "unreadable": False, "tokens": 1,
    })  # fmt: skip
    measured: Estimate = estimates([table], resampling(table, PERCENTILES_OF, int(rng.integers(2**31))))["mean", "f1"]
    return measured.value, measured.low, measured.high, np.nan


def five_seeds(rng: Generator, samples: int = 300, size: int = 3) -> Simulated:
    """A difference of two variants by five seeds on one test set: seeds and scenes both vary."""
    scene, skill = scenes_of(rng, samples, size)
    gain, seeds = 0.05, 5
    draws = resampling(
        pd.DataFrame({"sample": np.arange(samples), "scene": scene, "kind": "one"}), RESAMPLES, int(rng.integers(2**31))
    )
    of_scene = rng.normal(0, 0.1, scene.max() + 1)[scene]
    by_seed = []
    for _ in range(seeds):
        better = np.clip(skill + gain + of_scene + rng.normal(0, 0.02), 0, 1)
        common = rng.random(samples)
        by_seed.append((common < better).astype(float) - (common < skill))
    total = draws.totals(np.column_stack([np.mean(by_seed, axis=0), np.ones(samples)]))
    measured = difference([each.mean() for each in by_seed], total[1:, 0] / total[1:, 1])
    return measured.value, measured.low, measured.high, np.nan


CASES: dict[str, Callable[[Generator], Simulated]] = {
    "accuracy, 300 samples in scenes of 3": accuracy,
    "macro accuracy, 10 tasks of 100 in scenes of 4": lambda rng: official(rng, "macro", 10, 100, 4),
    "micro accuracy of a suite, 240 in scenes of 2": lambda rng: official(rng, "micro", 1, 240, 2),
    "AP50, 4 datasets of 60 images": lambda rng: official(rng, "ap50", 4, 60, 1),
    "weighted AP50, 240 images in pairs": lambda rng: official(rng, "weighted_ap50", 1, 240, 2),
    "F1, mean over 5 kinds, 300 samples in scenes of 2": f1,
    "F1, mean over 5 kinds, 5,000 samples in scenes of 2": lambda rng: f1(rng, 5000),
    "difference by five seeds, 300 samples in scenes of 3": five_seeds,
}


def coverage(simulated: Sequence[Simulated]) -> float:
    """The share of intervals that hold the truth."""
    value, low, high, truth = np.array(simulated).T
    truth = np.where(np.isnan(truth), value.mean(), truth)
    return float(((low <= truth) & (truth <= high)).mean())


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 if a coverage is not within REQUIRED."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.interval_coverage",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sets", type=int, nargs="?", default=2000, help="test sets of each case (default: 2000)")
    parser.add_argument("parts", nargs="*", metavar="CASE", help="a part of a case's name; without any, all")
    options = parser.parse_args(arguments)
    return simulate(options.sets, options.parts)


def simulate(sets: int, parts: Sequence[str] = ()) -> int:
    """Prints the coverage of each case; 1 if one is not within REQUIRED."""
    failed = False
    for name, case in CASES.items():
        if parts and not any(part in name for part in parts):
            continue
        rng = np.random.default_rng(0)
        reached = coverage([case(rng) for _ in range(sets)])
        within = REQUIRED[0] <= reached <= REQUIRED[1]
        failed |= not within
        print(f"{name}: {100 * reached:.2f} % of {sets}{'' if within else ', outside 93 to 97'}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
