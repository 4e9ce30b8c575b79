"""What is the outcome, in six lines computed from the numbers?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import pandas as pd

from ..claims.claims import Judged
from ..expected import Planned
from ..labels import LONGER, MODES, SHORTCUTS, START, look
from ..numbers.collect import Collection
from ..numbers.estimates import Estimate
from ..numbers.lookup import difference, look_up, over_seeds, pick, seeds_of
from ..page.table import Number, code_in_html

Compared = tuple[str, str, str]

HYBRID: tuple[Compared, ...] = (("hybrid", "direct", "direct"), ("hybrid", "cot", "cot"))
_OWN_MODES = (("direct", "direct"), ("cot", "cot"), *(("hybrid", mode) for mode in MODES))
GAIN = tuple((variant, START, mode) for variant, mode in _OWN_MODES)
CONTROL = tuple((variant, LONGER, mode) for variant, mode in _OWN_MODES)
"""The comparisons of the lines: (variant, against, mode)."""


def summary(
    collection: Collection, numbers: pd.DataFrame, study: Planned, judged: Sequence[Judged] = (), power: str = ""
) -> str:
    """The lines, as HTML.

    Args:
        collection: the runs, for how many of them are finished.
        numbers: of the finished runs.
        study: as planned.
        judged: the claims with their verdicts.
        power: which difference the study can detect; empty: unknown.
    """
    finished = sum(run.state == "finished" for run in collection.counted)
    expected = len(collection.counted) + len(collection.missing)
    if not len(pick(numbers, benchmark="generalised", metric="f1")):
        return _listed(
            [
                f"<b>No results yet</b>: of {expected} runs expected or found, {finished} are finished, "
                "and none of them is an evaluation on the generalised test set. "
                f"{code_in_html(f'`{study.launch}`')} runs what is missing."
            ]
        )
    profile = study.settings["profile"]
    scale = "miniature, not the paper's 7B" if profile == "miniature" else f"profile {profile}"
    seeds = len(seeds_of(numbers))
    scope = f"<b>In the {scale}</b>: {finished} of {expected} runs finished, {seeds} seed{'s' * (seeds != 1)}."
    gain = _own_modes(numbers, GAIN, f"<b>GRPO against its start</b> ({look(START).label})")
    control = f"<b>GRPO against the compute-matched control</b> ({look(LONGER).label}; equal FLOPs)"
    lines = [
        f"{scope} {_claims(judged)}",
        gain,
        _hybrid(numbers),
        _own_modes(numbers, CONTROL, control),
        _start(numbers),
    ]
    return _listed([*lines, f"<b>How sure</b>: {_caveat(numbers)} {code_in_html(power)}"])


def _claims(judged: Sequence[Judged]) -> str:
    """How many claims have each verdict."""
    counts = Counter(each.verdict for each in judged)
    tally = ", ".join(f"{count} {code_in_html(verdict)}" for verdict, count in counts.most_common())
    return f"The paper's claims, {len(judged)} rows: {tally}." if judged else ""


def _hybrid(numbers: pd.DataFrame) -> str:
    """Whether hybrid is better than each pure form, in the mode that the pure form trains."""
    parts = [
        f"{verdict} {_short(other)} with {MODES[mode]} prompts, {gain}"
        for (_, other, mode), verdict, gain in _verdicts(numbers, HYBRID)
    ]
    return f"<b>Hybrid</b>, in mean F1: {'; '.join(parts)}." if parts else ""


def _own_modes(numbers: pd.DataFrame, compared: Sequence[Compared], head: str) -> str:
    """Whether GRPO is better than one other variant, in the modes that a form of it trains."""
    parts = [
        f"{_short(variant)} with {MODES[mode]} prompts is {verdict} it, {gain}"
        for (variant, _, mode), verdict, gain in _verdicts(numbers, compared)
    ]
    return f"{head}: {'; '.join(parts)}." if parts else ""


def _start(numbers: pd.DataFrame) -> str:
    """F1 of the common start of the GRPO variants, and whether it exceeds the shortcut baselines."""
    where = {"benchmark": "generalised", "variant": START, "mode": "direct", "kind": "mean"}
    f1, name = look_up(numbers, **where, metric="f1"), look(START).label
    if f1 is None:
        return f"<b>Grounding</b>: {name}, the common start of the GRPO variants, has not been evaluated."
    text = (
        f"<b>Grounding</b>: with direct prompts {name} has a mean F1@0.5 of "
        f"{_points(f1, signed=False)} on {f1.n:,} held-out samples"
    )
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
        f"{text}, {_times(estimate)} the strongest shortcut baseline ({SHORTCUTS[least]}): "
        f"{verdict} the required three times."
    )


def _caveat(numbers: pd.DataFrame) -> str:
    """What the intervals of these comparisons cover: training seeds too, where both variants share two or more."""
    compared = [each for each in (*HYBRID, *CONTROL) if _mean(numbers, *each) is not None]
    where = {"benchmark": "generalised", "kind": "mean"}
    paired = {each: over_seeds(numbers, each[1], **where, variant=each[0], mode=each[2]) for each in compared}
    counts = sorted({estimate.n for estimate in paired.values() if estimate is not None})
    uncorrected = "They are not corrected for multiple comparisons; the claims' verdicts are."
    if not counts:
        return (
            "no comparison has more than one seed: the intervals cover the sampling of the test set only, and other "
            f"training seeds may reorder the variants. {uncorrected}"
        )
    seeds = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
    single = dict.fromkeys(
        f"{_short(v)} against {_short(o)}" for (v, o, _), interval in paired.items() if interval is None
    )
    return (
        f"over {seeds} seeds, differences are paired by seed, and their t-intervals cover the variance over training "
        "seeds; intervals of single variants cover the sampling of the test set only"
        + (f", and so do those of {'; '.join(single)}, which have one seed. " if single else ". ")
        + uncorrected
    )


def _verdicts(numbers: pd.DataFrame, compared: Iterable[Compared]) -> Iterator[tuple[Compared, str, str]]:
    """Of each comparison that was run: better, worse or indistinguishable, and the difference.

    With one seed it is one of the samples, and says so: other training seeds are not in its interval.
    """
    for each in compared:
        if (gain := _mean(numbers, *each)) is None:
            continue
        where = {"benchmark": "generalised", "kind": "mean", "variant": each[0], "mode": each[2]}
        one = "" if over_seeds(numbers, each[1], **where) else " (one seed)"
        word = "better" if gain.low > 0 else "worse" if gain.high < 0 else ""
        yield each, f"{word}{one} than" if word else "statistically indistinguishable from", _points(gain)


def _mean(numbers: pd.DataFrame, variant: str, other: str, mode: str) -> Estimate | None:
    return difference(numbers, other, benchmark="generalised", variant=variant, mode=mode, kind="mean")


def _short(variant: str) -> str:
    return look(variant).label.removeprefix("GRPO, ")


def _listed(lines: Sequence[str]) -> str:
    return f'<ul class="summary">{"".join(f"<li>{line}</li>" for line in lines if line)}</ul>'


def _times(estimate: Estimate) -> str:
    number = Number(estimate)
    return f"{number.value()} [{number.interval()}] times"


def _points(estimate: Estimate, signed: bool = True) -> str:
    """In points, with the interval."""
    scaled = Estimate(100 * estimate.value, 100 * estimate.low, 100 * estimate.high, estimate.n)
    number = Number(scaled, signed=signed)
    return f"{number.value()} [95 % CI {number.interval()}]"
