"""How small a difference can the study tell from none? Known before its results, from pilot seeds outside of it."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from scipy import optimize, stats

from .estimates import Estimate
from .numbers import pick, seeds_of
from .planned import SETTINGS, Planned
from .typesetting import Cell, Number, Table, blocks
from .variants import MODES, REFERENCES, look

PILOT = Path(__file__).with_name("pilot.yaml")

LEVEL, POWER = 0.05, 0.8
"""Two-sided; with this power a difference counts as detectable."""

WANTED = 0.02
"""The difference of mean F1 for which the number of seeds is told."""

_MOST_SEEDS = 1000
_DEFAULT = "the profile's own"


@dataclass(frozen=True)
class Pilot:
    """How much paired differences vary over the pilot's seeds.

    Attributes:
        seeds: of the pilot; the study must have others.
        settings: of its grid, as `planned.Planned` has them; the study must have the same.
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
        ValueError: the file is not one that `report.pilot` writes.
    """
    if not path.is_file():
        return None
    content: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    try:
        deviations = {(d["mode"], d["variant"], d["against"]): float(d["deviation"]) for d in content["differences"]}
        settings = {axis: content["settings"][axis] for axis in SETTINGS}
        seeds = tuple(map(int, content["seeds"]))
        return Pilot(seeds, settings, int(content["samples"]), str(content["source"]), deviations)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is no pilot ({error!r}); `python -m gemvg_repro.report.pilot` makes it from finished runs"
        ) from None


def power(difference: float, deviation: float, seeds: int) -> float:
    """The chance that a two-sided paired t-test at LEVEL tells a true difference from none (noncentral t).

    Args:
        difference: the true one.
        deviation: the standard deviation of the paired differences over seeds.
        seeds: how many pairs, at least 2.
    """
    freedom, shift = seeds - 1, abs(difference) / deviation * math.sqrt(seeds)
    bound = float(stats.t.ppf(1 - LEVEL / 2, freedom))
    wrong_way = stats.nct.cdf(-bound, freedom, shift) if shift < 5 else 0.0  # below 1e-8; scipy 1.18 may say nan
    return float(stats.nct.sf(bound, freedom, shift) + wrong_way)


def detectable(deviation: float, seeds: int) -> float:
    """The smallest difference that so many seeds tell from none with POWER; infinite for a single seed."""
    if seeds < 2:
        return math.inf
    if deviation == 0:
        return 0.0
    most = 2 * float(stats.t.ppf(1 - LEVEL / 2, seeds - 1) + stats.t.ppf(POWER, seeds - 1)) / math.sqrt(seeds)
    return deviation * float(optimize.brentq(lambda d: power(d, 1.0, seeds) - POWER, 1e-9, most))


def seeds_needed(deviation: float, difference: float = WANTED) -> int | None:
    """The fewest seeds that tell such a difference from none with POWER; None if it takes more than 1,000."""
    if deviation == 0:
        return 2
    enough = range(2, _MOST_SEEDS + 1)
    first = bisect_left(enough, POWER, key=lambda seeds: power(difference, deviation, seeds))
    return enough[first] if first < len(enough) else None


def statement(numbers: pd.DataFrame, study: Planned, pilot: Pilot | None) -> str:
    """What the study's seeds can tell apart, in a sentence or two; it stands before any result.

    Args:
        numbers: of the study; seeds that were evaluated count beside the planned ones.
        study: as planned.
        pilot: as loaded.
    """
    own = _own(numbers, study)
    single = (
        "There is a single seed, so the variants cannot be ranked over seeds, whatever intervals over samples say; "
        f"`{study.launch} --seeds 0 1 2 3 4` makes more. "
    ) * (len(own) < 2)
    why = "no pilot was run" if pilot is None else _other(numbers, study, pilot)
    if pilot is None or why:
        seeds = "--seeds 100 101 102"
        return (
            f"{single}How small a difference can be told apart is not known, since {why}: "
            f"`{study.launch} {seeds}`, then `{study.pilot} {seeds}`."
        )
    if both := sorted(own & set(pilot.seeds)):
        seeds = ", ".join(map(str, both))
        return f"{single}Seeds that gave the pilot its variances ({seeds}) cannot show what they tell apart."
    if single:
        return single.strip()
    most = 100 * max(detectable(deviation, len(own)) for deviation in pilot.deviations.values())
    compared = {variant for _, variant, _ in pilot.deviations}
    others = [look(v).label for v in REFERENCES if v not in compared and v in set(numbers["variant"])]
    return (
        f"{len(own)} seeds tell a difference of mean F1 from none if it is of {most:.1f} points or more, in each "
        f"comparison that the pilot made, and some that are smaller; so say {len(pilot.seeds)} pilot seeds"
        + (f", which have nothing of {'; '.join(others)}." if others else ".")
    )


def _other(numbers: pd.DataFrame, study: Planned, pilot: Pilot) -> str:
    """Why the pilot does not speak of this study; '' where it does."""
    f1 = pick(numbers, benchmark="generalised", kind="mean", metric="f1")
    ours = {**study.settings, "test samples": int(f1["n"].max()) if len(f1) else pilot.samples}
    theirs = {**pilot.settings, "test samples": pilot.samples}
    other = [
        f"{name}: {theirs[name] or _DEFAULT}, here {ours[name] or _DEFAULT}"
        for name in ours
        if ours[name] != theirs[name]
    ]
    return f"the stored pilot was run otherwise ({'; '.join(other)}), and none as this study is" if other else ""


def table(numbers: pd.DataFrame, study: Planned, pilot: Pilot | None) -> Table:
    """The smallest detectable difference of every comparison; in words why there is none, where no pilot tells."""
    own = _own(numbers, study)
    caption = "Smallest difference of mean F1@0.5 that can be told from none, in points."
    if pilot is None or _other(numbers, study, pilot) or own & set(pilot.seeds):
        return Table("power", caption, pd.DataFrame(), (statement(numbers, study, pilot),))
    shown = sorted({len(own), 3, 5, 10} - {0, 1})
    rows: list[tuple[tuple[str, ...], Sequence[Cell]]] = []
    for (mode, variant, other), deviation in pilot.deviations.items():
        needed = seeds_needed(deviation)
        names = (f"asked {MODES[mode]}", f"against {look(other).label}", look(variant).label)
        least = [_points(detectable(deviation, n)) for n in shown]
        rows.append((names, [_points(deviation), *least, f"{needed}" if needed else f"over {_MOST_SEEDS:,}"]))
    heads = [f"{n} seeds{' (this study)' * (n == len(own))}" for n in shown]
    return blocks(
        "power",
        caption,
        ["s.d. over seeds", *heads, f"seeds for {100 * WANTED:.0f} points"],
        rows,
        statement(numbers, study, pilot),
        f"Two-sided at {100 * LEVEL:.0f} % with a power of {POWER:.1f}, paired over seeds by t (noncentral t). The "
        f"standard deviations are of {len(pilot.seeds)} pilot seeds ({', '.join(map(str, pilot.seeds))}), outside of "
        f"the study, and themselves as uncertain as so few seeds are. {pilot.source}",
    )


def _own(numbers: pd.DataFrame, study: Planned) -> set[int]:
    return {*study.seeds, *seeds_of(numbers)}


def _points(share: float) -> Cell:
    return Number(Estimate(100 * share, math.nan, math.nan, 0), 2)
