"""How small a difference can the study tell from none? Known before its results, from pilot seeds outside of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from ..expected import Planned
from ..labels import MODES, REFERENCES, look
from ..numbers.estimates import Estimate
from ..numbers.power import LEVEL, MOST_SEEDS, POWER, WANTED, Pilot, detectable, seeds_needed
from ..numbers.table import pick, seeds_of
from ..page.table import Cell, Number, Table, blocks

_DEFAULT = "the profile's own"


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
        rows.append((names, [_points(deviation), *least, f"{needed}" if needed else f"over {MOST_SEEDS:,}"]))
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
