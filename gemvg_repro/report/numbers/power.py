"""Which difference can a number of seeds detect, given the variance over pilot seeds outside of the study?"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from scipy import optimize, stats

from ...study.parameters import EvaluateParameters
from ..expected import SETTINGS

PILOT = Path(__file__).with_name("pilot.yaml")

LEVEL, POWER = 0.05, 0.8
"""Two-sided; with this power a difference counts as detectable."""

TARGET = 0.02
"""The difference of mean F1 for which the number of seeds needed is reported."""

MOST_SEEDS = 1000


@dataclass(frozen=True)
class Pilot:
    """How much paired differences vary over the pilot's seeds.

    Attributes:
        seeds: of the pilot; the study must have others.
        settings: of its grid, as `expected.Planned` has them; the study must have the same.
        samples: on which mean F1 was taken; the study must have as many.
        source: what was run, where and when, for people.
        deviations: the standard deviation of the difference of mean F1 over seeds, by (mode, variant, reference).
    """

    seeds: tuple[int, ...]
    settings: Mapping[str, str | int]
    samples: int
    source: str
    deviations: Mapping[tuple[str, str, str], float]


def load(path: Path = PILOT) -> Pilot | None:
    """The pilot that was stored, or None where there is none.

    Raises:
        ValueError: the file is not one that `report.numbers.pilot` writes.
    """
    if not path.is_file():
        return None
    content: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    try:
        deviations = {(d["mode"], d["variant"], d["against"]): float(d["deviation"]) for d in content["differences"]}
        settings = {axis: content["settings"].get(axis, _default(axis)) for axis in SETTINGS}
        seeds = tuple(map(int, content["seeds"]))
        return Pilot(seeds, settings, int(content["samples"]), str(content["source"]), deviations)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is no pilot ({error!r}); `python -m gemvg_repro.report.numbers.pilot` makes it from finished runs"
        ) from None


def _default(axis: str) -> str | int:
    """The value of a setting that did not exist when the pilot was stored."""
    default: str | int = EvaluateParameters.model_fields[axis].default
    return default


def power(difference: float, deviation: float, seeds: int) -> float:
    """The power of a two-sided paired t-test at LEVEL against a true difference (noncentral t).

    Args:
        difference: the true one.
        deviation: the standard deviation of the paired differences over seeds.
        seeds: how many pairs, at least 2.
    """
    freedom, shift = seeds - 1, abs(difference) / deviation * math.sqrt(seeds)
    bound = float(stats.t.ppf(1 - LEVEL / 2, freedom))
    opposite = stats.nct.cdf(-bound, freedom, shift) if shift < 5 else 0.0  # below 1e-8; scipy 1.18 may say nan
    return float(stats.nct.sf(bound, freedom, shift) + opposite)


def detectable(deviation: float, seeds: int) -> float:
    """The smallest difference that a number of seeds detects with POWER; infinite for a single seed."""
    if seeds < 2:
        return math.inf
    if deviation == 0:
        return 0.0
    upper = 2 * float(stats.t.ppf(1 - LEVEL / 2, seeds - 1) + stats.t.ppf(POWER, seeds - 1)) / math.sqrt(seeds)
    return deviation * float(optimize.brentq(lambda d: power(d, 1.0, seeds) - POWER, 1e-9, upper))


def seeds_needed(deviation: float, difference: float = TARGET) -> int | None:
    """The fewest seeds that detect a difference with POWER; None if it takes more than 1,000."""
    if deviation == 0:
        return 2
    enough = range(2, MOST_SEEDS + 1)
    first = bisect_left(enough, POWER, key=lambda seeds: power(difference, deviation, seeds))
    return enough[first] if first < len(enough) else None
