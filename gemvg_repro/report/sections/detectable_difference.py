"""Which differences can the study detect? Known before its results, from pilot seeds outside of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from ..expected import Planned
from ..labels import MODES, REFERENCES, look
from ..numbers.estimates import Estimate
from ..numbers.lookup import pick, seeds_of
from ..numbers.power import LEVEL, MOST_SEEDS, POWER, TARGET, Pilot, detectable, seeds_needed
from ..page.table import Cell, Number, Table, blocks

_DEFAULT = "the profile's own"


def statement(numbers: pd.DataFrame, study: Planned, pilot: Pilot | None) -> str:
    """The smallest difference that the study's seeds can detect, in a sentence or two; stated before any result.

    Args:
        numbers: of the study; seeds that were evaluated count beside the planned ones.
        study: as planned.
        pilot: as loaded.
    """
    own = _own(numbers, study)
    single = (
        "There is a single seed, so the variants cannot be ranked over training seeds, whatever the intervals over "
        f"samples are; `{study.launch} --seeds 0 1 2 3 4` runs more. "
    ) * (len(own) < 2)
    why = "no pilot was run" if pilot is None else _other(numbers, study, pilot)
    if pilot is None or why:
        seeds = "--seeds 100 101 102"
        return (
            f"{single}The smallest detectable difference is unknown, since {why}: "
            f"run `{study.launch} {seeds}`, then `{study.pilot} {seeds}`."
        )
    if both := sorted(own & set(pilot.seeds)):
        seeds = ", ".join(map(str, both))
        return (
            f"{single}The smallest detectable difference is unknown, since the pilot's variances come from seeds of "
            f"this study ({seeds})."
        )
    return single.strip() or known(numbers, study, pilot)


def known(numbers: pd.DataFrame, study: Planned, pilot: Pilot | None) -> str:
    """The smallest difference that is detectable in every comparison of the pilot; '' where it is unknown."""
    own = _own(numbers, study)
    if pilot is None or len(own) < 2 or own & set(pilot.seeds) or _other(numbers, study, pilot):
        return ""
    largest = 100 * max(detectable(deviation, len(own)) for deviation in pilot.deviations.values())
    compared = {variant for _, variant, _ in pilot.deviations}
    others = [look(v).label for v in REFERENCES if v not in compared and v in set(numbers["variant"])]
    return (
        f"With {len(own)} seeds a difference of mean F1 of {largest:.1f} points or more is detectable in every "
        f"comparison of the pilot, and a smaller one in some, by the variance over {len(pilot.seeds)} pilot seeds"
        + (f"; the pilot did not run {'; '.join(others)}." if others else ".")
    )


def _other(numbers: pd.DataFrame, study: Planned, pilot: Pilot) -> str:
    """Why the pilot does not apply to this study; '' where it does."""
    f1 = pick(numbers, benchmark="generalised", kind="mean", metric="f1")
    ours = {**study.settings, "test samples": int(f1["n"].max()) if len(f1) else pilot.samples}
    theirs = {**pilot.settings, "test samples": pilot.samples}
    other = [
        f"{name}: {theirs[name] or _DEFAULT}, here {ours[name] or _DEFAULT}"
        for name in ours
        if ours[name] != theirs[name]
    ]
    return f"the stored pilot has other settings than this study ({'; '.join(other)})" if other else ""


def table(numbers: pd.DataFrame, study: Planned, pilot: Pilot | None) -> Table:
    """The smallest detectable difference of every comparison, or why it is unknown."""
    own = _own(numbers, study)
    caption = "Smallest detectable difference of mean F1@0.5, in points."
    if pilot is None or _other(numbers, study, pilot) or own & set(pilot.seeds):
        return Table("power", caption, pd.DataFrame(), (statement(numbers, study, pilot),))
    seed_counts = sorted({len(own), 3, 5, 10} - {0, 1})
    rows: list[tuple[tuple[str, ...], Sequence[Cell]]] = []
    for (mode, variant, other), deviation in pilot.deviations.items():
        needed = seeds_needed(deviation)
        names = (f"{MODES[mode]} prompts", f"against {look(other).label}", look(variant).label)
        least = [_points(detectable(deviation, n)) for n in seed_counts]
        rows.append((names, [_points(deviation), *least, f"{needed}" if needed else f"over {MOST_SEEDS:,}"]))
    heads = [f"{n} seeds{' (this study)' * (n == len(own))}" for n in seed_counts]
    return blocks(
        "power",
        caption,
        ["s.d. over seeds", *heads, f"seeds for {100 * TARGET:.0f} points"],
        rows,
        statement(numbers, study, pilot),
        f"Two-sided paired t-test over seeds at {100 * LEVEL:.0f} %, power {POWER:.1f} (noncentral t). The standard "
        f"deviations are estimated from {len(pilot.seeds)} pilot seeds ({', '.join(map(str, pilot.seeds))}) outside of "
        f"the study; from so few they are themselves uncertain. {pilot.source}",
    )


def _own(numbers: pd.DataFrame, study: Planned) -> set[int]:
    return {*study.seeds, *seeds_of(numbers)}


def _points(share: float) -> Cell:
    return Number(Estimate(100 * share, math.nan, math.nan, 0), 2)
