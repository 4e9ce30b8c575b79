"""What is the outcome, in one paragraph computed from the numbers?"""

from __future__ import annotations

import math

import pandas as pd

from ...study.variants import PAPER
from ..expected import Planned
from ..labels import LONGER, MODES, SHORTCUTS, START, look
from ..numbers.collect import Collection
from ..numbers.estimates import Estimate
from ..numbers.lookup import difference, look_up, over_seeds, pick
from ..page.table import Number, code_in_html

GAINS = tuple((variant, START, mode) for mode in MODES for variant in PAPER)
CONTROL = tuple((v, LONGER, m) for v, m in (("direct", "direct"), ("cot", "cot"), *(("hybrid", m) for m in MODES)))
HYBRID = (("hybrid", "direct", "direct"), ("hybrid", "cot", "cot"))
"""The comparisons of the paragraph: (variant, against, mode)."""


def summary(collection: Collection, numbers: pd.DataFrame, study: Planned, power: str = "") -> str:
    """The paragraph, as HTML.

    Args:
        collection: the runs, for how many of them are finished.
        numbers: of the finished runs.
        study: as planned.
        power: the statement of the smallest detectable difference, which comes before any result.
    """
    finished = sum(run.state == "finished" for run in collection.counted)
    expected = len(collection.counted) + len(collection.missing)
    if not len(pick(numbers, benchmark="generalised", metric="f1")):
        return _boxed(
            f"<b>No results yet</b>: of {expected} runs expected or found, {finished} are finished, "
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
    """F1 of the common start of the GRPO variants, and whether it exceeds the shortcut baselines."""
    where = {"benchmark": "generalised", "variant": START, "mode": "direct", "kind": "mean"}
    f1 = look_up(numbers, **where, metric="f1")
    if f1 is None:
        return f"{look(START).label}, the common start of the GRPO variants, has not been evaluated."
    name = look(START).label
    text = f"With direct prompts, {name} reaches a mean F1@0.5 of {_points(f1)} on {f1.n:,} held-out samples"
    times = {s: look_up(numbers, **where, metric=f"times_{s}") for s in SHORTCUTS}
    evaluated = {shortcut: each for shortcut, each in times.items() if each is not None}
    if not evaluated:
        return f"{text}; no shortcut baseline was evaluated, so this may not take the images into account."
    defined = {shortcut: each for shortcut, each in evaluated.items() if not math.isnan(each.value)}
    if not defined:
        names = ", ".join(SHORTCUTS[shortcut] for shortcut in evaluated)
        return f"{text}; the shortcut baselines evaluated ({names}) score 0, so no multiple of them is defined."
    least, estimate = min(defined.items(), key=lambda item: item[1].value)
    if estimate.value > 3:
        verdict = "above" if estimate.low > 3 else "not significantly above"
    else:
        verdict = "<b>below</b>" if estimate.high < 3 else "<b>not significantly below</b>"
    return (
        f"{text}, {_times(estimate)} the strongest "
        f"shortcut baseline evaluated ({SHORTCUTS[least]}): {verdict} the required three times."
    )


def _gains(numbers: pd.DataFrame) -> list[str]:
    """One sentence per mode: what GRPO changed."""
    sentences = []
    for mode, label in MODES.items():
        gains = {variant: _mean(numbers, variant, other, m) for variant, other, m in GAINS if m == mode}
        parts = [f"{_short(variant)} {_points(gain, True)}" for variant, gain in gains.items() if gain is not None]
        if parts:
            sentences.append(
                f"With {label} prompts, GRPO changes mean F1 relative to {look(START).label} by: "
                f"{', '.join(parts)} points."
            )
    return sentences


def _control(numbers: pd.DataFrame) -> str:
    """Whether GRPO gains more than compute-matched SFT, in the modes that a variant trains."""
    findings = []
    for variant, other, mode in CONTROL:
        if (gain := _mean(numbers, variant, other, mode)) is not None:
            name = f"{_short(variant)} with {MODES[mode]} prompts"
            findings.append(f"{name} is {_verdict(gain)} it ({_points(gain, True)})")
    control = f"the compute-matched control ({look(LONGER).label}; equal FLOPs)"
    return f"Against {control}: {'; '.join(findings)}." if findings else ""


def _hybrid(numbers: pd.DataFrame) -> str:
    """Whether hybrid is better than each pure form, in the mode that the pure form trains."""
    findings = []
    for variant, other, mode in HYBRID:
        if (gain := _mean(numbers, variant, other, mode)) is not None:
            findings.append(
                f"with {MODES[mode]} prompts it is {_verdict(gain)} {_short(other)} ({_points(gain, True)})"
            )
    return f"Hybrid against each pure form, in the mode that this trains: {'; '.join(findings)}." if findings else ""


def _mean(numbers: pd.DataFrame, variant: str, other: str, mode: str) -> Estimate | None:
    return difference(numbers, other, benchmark="generalised", variant=variant, mode=mode, kind="mean")


def _verdict(gain: Estimate) -> str:
    return "better than" if gain.low > 0 else "worse than" if gain.high < 0 else "statistically indistinguishable from"


def _short(variant: str) -> str:
    return look(variant).label.removeprefix("GRPO, ")


def _caveat(numbers: pd.DataFrame) -> str:
    """What the intervals of these comparisons cover: training seeds too, where both variants share two or more."""
    compared = [each for each in (*GAINS, *CONTROL, *HYBRID) if _mean(numbers, *each) is not None]
    where = {"benchmark": "generalised", "kind": "mean"}
    paired = {each: over_seeds(numbers, each[1], **where, variant=each[0], mode=each[2]) for each in compared}
    counts = sorted({estimate.n for estimate in paired.values() if estimate is not None})
    if not counts:
        return (
            "No comparison has more than one seed: the intervals cover the sampling of the test set only, and other "
            "training seeds may reorder the variants."
        )
    seeds = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
    single = dict.fromkeys(
        f"{_short(v)} against {_short(o)}" for (v, o, _), interval in paired.items() if interval is None
    )
    return (
        f"Over {seeds} seeds: differences are paired by seed, and their t-intervals cover the variance over training "
        "seeds; intervals of single variants cover the sampling of the test set only"
        + (f", and so do those of {'; '.join(single)}, which have one seed." if single else ".")
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
