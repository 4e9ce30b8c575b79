"""Which tables of results does the report have? Made from the numbers; a dash stands where there is none."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ...benchmarks.generalised.difficulty import CROWD, SMALL
from ...grounding.samples import GROUNDING_KINDS
from ..labels import (
    CONTROLS,
    LONGER,
    MODEL_FREE,
    MODES,
    REFERENCES,
    SHORTCUTS,
    START,
    VARIANTS,
    look,
    position,
    rank_of_term,
)
from ..numbers.slices import BUILT_IN, SLICES
from ..numbers.table import difference, look_up, pick, seeds_of
from ..page.table import Cell, Number, Table, blocks, percent, ranked, scaled
from .costs import amount, flops, largest

INTERVALS = (
    "Small print: 95 % intervals, from 1,000 bootstrap resamples of the test set's scenes, drawn within "
    "kinds; those of shares (none right, unreadable) are Wilson's. They cover the choice of the samples, "
    "not the luck of a training, which only more seeds can show."
)

_HEADS = (
    "mean F1 ↑",
    *(f"{kind} ↑" for kind in GROUNDING_KINDS),
    "none right ↑",
    "unread ↓",
    "tokens said",
)

_LARGEST = (True,) * 7 + (False,)
"""Whether large is good, for the columns in which the best is marked."""


def variants(numbers: pd.DataFrame) -> Table:
    """The variants in both modes of inference, and the shortcuts beneath in the same columns."""
    names = present(numbers)
    unit, second = ("hours", 1 / 3600) if largest(numbers, "seconds_in_all") > 2 * 3600 else ("minutes", 1 / 60)
    arithmetic, flop = flops(numbers)
    spent = (("tokens_trained_of_stage", 1e-6, 2), ("flops_of_stage", flop, 2), ("seconds_in_all", second, 1))
    rows: list[tuple[tuple[str, ...], Sequence[Cell]]] = []
    for mode, label in MODES.items():
        lines = [_measures(numbers, "generalised", variant, mode) for variant in names]
        columns = [list(column) for column in zip(*lines, strict=True)]
        best = [ranked(column, largest) for column, largest in zip(columns, _LARGEST, strict=False)]
        marked = zip(*best, *columns[len(best) :], strict=True)
        for variant, cells in zip(names, marked, strict=True):
            where = {"variant": variant, "benchmark": "training"}
            costs: list[Cell] = [scaled(look_up(numbers, **where, metric=m), unit, d) for m, unit, d in spent]
            costs = ["", "", ""] if variant == "base" else costs
            rows.append(((f"asked {label}", _with_seeds(numbers, variant)), [*cells, *costs]))
    for shortcut, label in SHORTCUTS.items():
        variant = "" if shortcut in MODEL_FREE else START
        rows.append((("shortcuts", label), [*_measures(numbers, shortcut, variant, "direct")[:-1], *[""] * 4]))
    return blocks(
        "variants",
        f"F1@0.5 in per cent on the generalised test set{_sizes(numbers)}.",
        [*_HEADS, "M tokens", arithmetic, unit],
        rows,
        "Best value of a block bold, second underlined. None right: share of the samples without any target that are "
        "answered so. Unread: answers that cannot be read. Tokens said: length of an answer. M tokens, "
        f"{arithmetic}: of the variant's last stage, where generation counts as a forward pass; {look(LONGER).label} "
        f"is given what the dearest of the paper's three is estimated to take. {unit.capitalize()}: of making "
        "the data and of all trainings that lead to the variant. Grey and shuffled pictures: "
        f"{look(START).label}, asked direct{_tried(numbers)}.",
        INTERVALS,
    )


def differences(numbers: pd.DataFrame) -> Table:
    """What each variant after the common start changes, against it, against the control, and among the forms."""
    names = present(numbers)
    pairs = [(other, name) for other in VARIANTS for name in names if other in REFERENCES.get(name, ())]
    rows = []
    for mode, label in MODES.items():
        for other, variant in pairs:
            where = {"variant": variant, "mode": mode, "benchmark": "generalised"}
            cells = [percent(difference(numbers, other, **where, kind=k), True) for k in ("mean", *GROUNDING_KINDS)]
            rows.append(((f"asked {label}", f"against {look(other).label}", look(variant).label), cells))
    return blocks(
        "differences",
        f"Paired differences of F1@0.5, in points{_sizes(numbers)}.",
        ["mean F1", *GROUNDING_KINDS],
        rows,
        _PAIRED[len(seeds_of(numbers)) > 1],
        "An interval that includes 0 tells nothing apart. The intervals are not corrected for how many comparisons are "
        "made here.",
    )


_PAIRED = {
    False: "Of one seed: intervals over the same samples, resampled together. Another training may reorder the "
    "variants, so they cannot be ranked over seeds.",
    True: "Means over the seeds that both have, paired by seed, with intervals by t: they cover the luck of a "
    "training. Where a pair has one seed in common, the interval is over the samples.",
}
"""Whether there are several seeds -> what the intervals of differences cover."""


def slices(numbers: pd.DataFrame) -> Table:
    """What thinking first changes in each slice, for every variant, and F1 in both modes beneath."""
    found = pick(numbers, benchmark="slices")
    names = sorted(found["variant"].unique(), key=position)
    rows: list[tuple[tuple[str, ...], Sequence[Cell]]] = []
    for block, mode, metric in (
        ("CoT less direct", "cot", "f1_minus_direct_mode"),
        *((f"asked {label}", mode, "f1") for mode, label in MODES.items()),
    ):
        for variant in names:
            where = {"benchmark": "slices", "variant": variant, "mode": mode, "metric": metric}
            cells = [percent(look_up(numbers, **where, kind=name), metric != "f1") for name in SLICES]
            if any(cell is not None for cell in cells):
                rows.append(((block, look(variant).label), cells))
    sizes = found.drop_duplicates("kind").set_index("kind")["n"]
    each = [f"{label} {sizes[name]:,}" for name, label in SLICES.items() if name in sizes and "/" not in name]
    told = f" ({', '.join(each)} samples)" if each else ""
    return blocks(
        "slices",
        f"F1@0.5 in per cent by slice of the generalised test set, and what thinking first changes{told}.",
        list(SLICES.values()),
        rows,
        "Neutral and perception: nothing is to be associated, what is asked for is described. Perception: the grade "
        f"counts what makes it hard to see: a target below {100 * SMALL:.1f} % of its picture, a picture of {CROWD} "
        "things or more, and beside a target something of its category or colour. One hop: another picture says what "
        "is meant; two hops: that has to be found there first; three: this says what is meant in the next. "
        "F1 over all samples of the slice; intervals over the samples, both modes on the same ones.",
        BUILT_IN,
    )


def shortcuts(numbers: pd.DataFrame) -> Table:
    """How many times the mean F1 of each shortcut every variant reaches."""
    rows = []
    for mode, label in MODES.items():
        for variant in present(numbers):
            where = {"variant": variant, "mode": mode, "benchmark": "generalised", "kind": "mean"}
            times = [scaled(look_up(numbers, **where, metric=f"times_{shortcut}")) for shortcut in SHORTCUTS]
            reached = [cell.estimate.value for cell in times if isinstance(cell, Number)]
            verdict = None if not reached else "yes" if min(reached) >= 3 else "no"
            rows.append(((f"asked {label}", look(variant).label), [*times, verdict]))
    return blocks(
        "shortcuts",
        "How many times the mean F1@0.5 of each shortcut is reached.",
        [*SHORTCUTS.values(), "at least 3 times each"],
        rows,
        "The constant box and the picture-index prior never look at a picture; grey and shuffled pictures "
        "are put to the same model, asked direct where they were not tried in the mode. Numerator and "
        "denominator are resampled together, on the samples that the shortcut was tried on.",
    )


def rewards(numbers: pd.DataFrame) -> Table:
    """GRPO's reward on the fixed validation prompts before and after, term by term."""
    found = pick(numbers, benchmark="validation_reward", metric="gain")
    keys = sorted(
        {(str(row["variant"]), str(row["mode"]), str(row["kind"])) for _, row in found.iterrows()},
        key=lambda key: (position(key[0]), list(MODES).index(key[1]), rank_of_term(key[2])),
    )
    rows = []
    for variant, mode, term in keys:
        where = {"variant": variant, "mode": mode, "benchmark": "validation_reward", "kind": term}
        measured = {metric: look_up(numbers, **where, metric=metric) for metric in ("before", "after", "gain")}
        gain = measured["gain"]
        verdict = "" if gain is None else "up" if gain.low > 0 else "down" if gain.high < 0 else "not told apart"
        cells: list[Cell] = [scaled(each, 1, 3, metric == "gain") for metric, each in measured.items()]
        rows.append(((look(variant).label, f"asked {MODES[mode]}", term), [*cells, verdict]))
    n = f"{int(found['n'].min()):,} " if len(found) else "the "
    return blocks(
        "rewards",
        f"Reward on {n}fixed validation prompts, before and after GRPO.",
        ["before", "after", "gain", "verdict"],
        rows,
        "Small print: 95 % intervals by bootstrap over the prompts; the gain is paired by prompt. Each term "
        "is in [0, 1]; the total is their weighted sum.",
    )


def choices(numbers: pd.DataFrame) -> Table:
    """Accuracy of multiple choice about several images."""
    found = pick(numbers, benchmark="understanding", metric="accuracy")
    rows = []
    for variant in sorted(found["variant"].unique(), key=position):
        where = {"variant": variant, "benchmark": "understanding", "metric": "accuracy"}
        rows.append(((look(variant).label,), [percent(look_up(numbers, **where, mode=mode)) for mode in MODES]))
    n = f" ({int(found['n'].max()):,})" if len(found) else ""
    caption = f"Multiple-choice questions about several images{n}: accuracy in per cent."
    return blocks("choices", caption, [f"asked {label} ↑" for label in MODES.values()], rows)


def mig_bench(numbers: pd.DataFrame) -> Table:
    """Acc@0.5 by task, in MIG-Bench's format."""
    found = pick(numbers, benchmark="mig_bench", metric="accuracy")
    tasks = sorted(found["kind"].unique(), key=lambda kind: (kind != "mean", kind))
    rows = []
    for mode, label in MODES.items():
        for variant in sorted(found["variant"].unique(), key=position):
            where = {"variant": variant, "mode": mode, "benchmark": "mig_bench", "metric": "accuracy"}
            cells = [percent(look_up(numbers, **where, kind=task)) for task in tasks]
            rows.append(((f"asked {label}", look(variant).label), cells))
    n = f" ({int(found['n'].max()):,} records)" if len(found) else ""
    caption = f"Acc@0.5 in MIG-Bench's format, by task, in per cent{n}."
    return blocks("mig_bench", caption, [str(task).replace("_", " ") for task in tasks], rows)


def present(numbers: pd.DataFrame) -> list[str]:
    """What tables list: the variants of the ablation, run or not, and whatever else was evaluated."""
    evaluated = pick(numbers, benchmark="generalised", metric="f1", kind="mean")["variant"]
    return sorted({*VARIANTS, *evaluated}.difference(set(CONTROLS).difference(evaluated)), key=position)


def _measures(numbers: pd.DataFrame, benchmark: str, variant: str, mode: str) -> list[Cell]:
    """The cells under _HEADS."""
    where = {"benchmark": benchmark, "variant": variant, "mode": mode}
    f1 = [percent(look_up(numbers, **where, kind=kind, metric="f1")) for kind in ("mean", *GROUNDING_KINDS)]
    shares = [percent(look_up(numbers, **where, kind="all", metric=m)) for m in ("none_accuracy", "unreadable")]
    tokens = look_up(numbers, **where, kind="all", metric="tokens")
    return [*f1, *shares, amount(tokens.value, 0) if tokens else None]


def _sizes(numbers: pd.DataFrame) -> str:
    seeds = len(seeds_of(numbers))
    told = f", {seeds} seed{'s' * (seeds != 1)}" if seeds else ""
    return f" ({_most_samples(numbers):,} samples{told})" if _most_samples(numbers) else ""


def _most_samples(numbers: pd.DataFrame) -> int:
    return int(_headline(numbers)["n"].max()) if len(_headline(numbers)) else 0


def _tried(numbers: pd.DataFrame) -> str:
    """On how many samples the spoilt pictures were tried, if not on all."""
    grey = look_up(numbers, benchmark="blind", variant=START, mode="direct", kind="mean", metric="f1")
    return f", on {grey.n:,} samples" if grey and grey.n != _most_samples(numbers) else ""


def _with_seeds(numbers: pd.DataFrame, variant: str) -> str:
    """The variant's name, and how many seeds it has where that is fewer than others have."""
    f1 = _headline(numbers)
    most, own = f1["seed"].nunique(), f1[f1["variant"] == variant]["seed"].nunique()
    return f"{look(variant).label} ({own} of {most} seeds)" if 0 < own < most else look(variant).label


def _headline(numbers: pd.DataFrame) -> pd.DataFrame:
    """The rows of mean F1, one a run and mode, and those over all seeds."""
    generalised = (numbers["benchmark"] == "generalised") & (numbers["metric"] == "f1")
    return numbers[generalised & (numbers["kind"] == "mean")]
