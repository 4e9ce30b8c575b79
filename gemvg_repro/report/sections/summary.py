"""What is the outcome, in a paragraph? Computed from the numbers, and no surer than they are."""

from __future__ import annotations

import math

import pandas as pd

from ..expected import Planned
from ..labels import LONGER, MODES, PAPER, SHORTCUTS, START, look
from ..numbers.collect import Collection
from ..numbers.estimates import Estimate
from ..numbers.table import difference, look_up, over_seeds, pick
from ..page.table import Number, code_in_html

GAINS = tuple((variant, START, mode) for mode in MODES for variant in PAPER)
CONTROL = tuple((v, LONGER, m) for v, m in (("direct", "direct"), ("cot", "cot"), *(("hybrid", m) for m in MODES)))
HYBRID = (("hybrid", "direct", "direct"), ("hybrid", "cot", "cot"))
"""The comparisons that are told: (variant, against, mode). Each in the modes that it is about."""


def summary(collection: Collection, numbers: pd.DataFrame, study: Planned, power: str = "") -> str:
    """The paragraph, as HTML; the words come from here, the numbers from the runs.

    `power` says, before any result, how small a difference can be told from none.
    """
    finished = sum(run.state == "finished" for run in collection.counted)
    expected = len(collection.counted) + len(collection.missing)
    if not len(pick(numbers, benchmark="generalised", metric="f1")):
        return _boxed(
            f"<b>Nothing can be said yet</b>: of {expected} runs expected or found, {finished} are finished, "
            "and none of them is an evaluation on the generalised test set. "
            f"{code_in_html(f'`{study.launch}`')} runs what is missing."
        )
    profile = study.settings["profile"]
    sentences = [
        f"<b>In the {'miniature' if profile == 'miniature' else f'profile {profile}'}</b>, with "
        f"{finished} of {expected} runs finished.",
        code_in_html(power),
        _start(numbers),
        *_gains(numbers),
        _control(numbers),
        _hybrid(numbers),
        _caveat(numbers),
    ]
    return _boxed(" ".join(sentence for sentence in sentences if sentence))


def _start(numbers: pd.DataFrame) -> str:
    """What the common start of the variants can do, and whether that is more than a shortcut."""
    where = {"benchmark": "generalised", "variant": START, "mode": "direct", "kind": "mean"}
    f1 = look_up(numbers, **where, metric="f1")
    if f1 is None:
        return f"{look(START).label}, the common start of the GRPO variants, has not been evaluated."
    name = look(START).label
    text = f"{name}, asked direct, reaches a mean F1@0.5 of {_points(f1)} on {f1.n:,} held-out samples"
    times = {s: look_up(numbers, **where, metric=f"times_{s}") for s in SHORTCUTS}
    tried = {shortcut: each for shortcut, each in times.items() if each is not None}
    if not tried:
        return f"{text}; no shortcut has been tried, so that may or may not be sight."
    told = {shortcut: each for shortcut, each in tried.items() if not math.isnan(each.value)}
    if not told:
        names = ", ".join(SHORTCUTS[shortcut] for shortcut in tried)
        return f"{text}; the shortcuts tried ({names}) score 0, of which there are no multiples."
    least, estimate = min(told.items(), key=lambda item: item[1].value)
    if estimate.value > 3:
        enough = "more" if estimate.low > 3 else "not surely more"
    else:
        enough = "<b>less</b>" if estimate.high < 3 else "<b>perhaps less</b>"
    return (
        f"{text}, {_times(estimate)} the strongest "
        f"shortcut tried ({SHORTCUTS[least]}): {enough} than the three times that we ask for."
    )


def _gains(numbers: pd.DataFrame) -> list[str]:
    """One sentence a mode: what GRPO changed."""
    sentences = []
    for mode, label in MODES.items():
        gains = {variant: _mean(numbers, variant, other, m) for variant, other, m in GAINS if m == mode}
        parts = [f"{_short(variant)} {_points(gain, True)}" for variant, gain in gains.items() if gain is not None]
        if parts:
            sentences.append(f"Asked {label}, GRPO changes that start's mean F1 by: {', '.join(parts)} points.")
    return sentences


def _control(numbers: pd.DataFrame) -> str:
    """Whether GRPO gains more than SFT that goes on for as much arithmetic, in a mode that the variant trains."""
    findings = []
    for variant, other, mode in CONTROL:
        if (gain := _mean(numbers, variant, other, mode)) is not None:
            name = f"{_short(variant)}, asked {MODES[mode]},"
            findings.append(f"{name} is {_verdict(gain)} that ({_points(gain, True)})")
    return f"Against SFT that goes on for as much arithmetic: {'; '.join(findings)}." if findings else ""


def _hybrid(numbers: pd.DataFrame) -> str:
    """Whether hybrid beats the pure forms, in the mode that each pure form trains."""
    findings = []
    for variant, other, mode in HYBRID:
        if (gain := _mean(numbers, variant, other, mode)) is not None:
            findings.append(f"asked {MODES[mode]} it is {_verdict(gain)} {_short(other)} ({_points(gain, True)})")
    return f"Hybrid in the pure forms' own modes: {'; '.join(findings)}." if findings else ""


def _mean(numbers: pd.DataFrame, variant: str, other: str, mode: str) -> Estimate | None:
    return difference(numbers, other, benchmark="generalised", variant=variant, mode=mode, kind="mean")


def _verdict(gain: Estimate) -> str:
    return "better than" if gain.low > 0 else "worse than" if gain.high < 0 else "not told apart from"


def _short(variant: str) -> str:
    return look(variant).label.removeprefix("GRPO, ")


def _caveat(numbers: pd.DataFrame) -> str:
    """What the intervals of the comparisons above cover, each by itself: it takes two seeds that both have."""
    told = [each for each in (*GAINS, *CONTROL, *HYBRID) if _mean(numbers, *each) is not None]
    where = {"benchmark": "generalised", "kind": "mean"}
    paired = {each: over_seeds(numbers, each[1], **where, variant=each[0], mode=each[2]) for each in told}
    counts = sorted({estimate.n for estimate in paired.values() if estimate is not None})
    if not counts:
        return (
            "No comparison has more than one seed: the intervals cover the test samples only, and another training may "
            "reorder the variants."
        )
    seeds = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
    single = dict.fromkeys(f"{_short(v)} against {_short(o)}" for (v, o, _), found in paired.items() if found is None)
    return (
        f"Over {seeds} seeds: differences are paired by seed, with intervals by t, which cover the luck of a training; "
        "those of single variants cover the test samples only"
        + (f", and so do those of {'; '.join(single)}, which rest on one seed." if single else ".")
    )


def _boxed(text: str) -> str:
    return f'<div class="summary"><p>{text}</p></div>'


def _times(estimate: Estimate) -> str:
    number = Number(estimate)
    return f"{number.value()} times [{number.interval()}]"


def _points(estimate: Estimate, signed: bool = False) -> str:
    """In points, with the interval."""
    scaled = Estimate(100 * estimate.value, 100 * estimate.low, 100 * estimate.high, estimate.n)
    number = Number(scaled, signed=signed)
    return f"{number.value()} [{number.interval()}]"
