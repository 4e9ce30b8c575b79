"""What do the tables of results show? Each is made from the numbers, with a dash for a missing one."""

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
    SHIFTS,
    SHORTCUTS,
    START,
    SUPERVISED,
    VARIANTS,
    look,
    position,
    rank_of_term,
    references,
)
from ..numbers.collect import Collection
from ..numbers.lookup import difference, look_up, pick, seeds_of
from ..numbers.slices import BUILT_IN, SLICES
from ..page.table import Cell, Number, Table, blocks, percent, ranked, scaled
from .costs import amount, flops, largest
from .cut_offs import cut_off_notes

INTERVALS = (
    "Small print: 95 % intervals, from 1,000 bootstrap resamples of the test set's scenes, stratified by kind; those "
    "of proportions (no-target accuracy, parse failures) are Wilson's. They cover the sampling of the test set, not "
    "the variance over training seeds, which only more seeds can show."
)

_HEADS = (
    "mean F1 ↑",
    *(f"{kind} ↑" for kind in GROUNDING_KINDS),
    "no-target accuracy ↑",
    "parse failures ↓",
    "response length",
)

_LARGEST = (True,) * 7 + (False,)
"""Whether larger is better, for the columns in which the best value is marked."""


def variants(numbers: pd.DataFrame, collection: Collection | None = None) -> Table:
    """The variants with both kinds of prompts, and the shortcut baselines beneath in the same columns.

    With the runs it also says which answers were cut off at their limit.
    """
    names = present(numbers)
    unit, second = ("hours", 1 / 3600) if largest(numbers, "seconds_in_all") > 2 * 3600 else ("minutes", 1 / 60)
    flop_unit, flop = flops(numbers)
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
            rows.append(((f"{label} prompts", _with_seeds(numbers, variant)), [*cells, *costs]))
    for shortcut, label in SHORTCUTS.items():
        variant = "" if shortcut in MODEL_FREE else START
        rows.append((("shortcuts", label), [*_measures(numbers, shortcut, variant, "direct")[:-1], *[""] * 4]))
    return blocks(
        "variants",
        f"F1@0.5 in per cent on the generalised test set{_sizes(numbers)}.",
        [*_HEADS, "M tokens", flop_unit, unit],
        rows,
        "Best value of a block bold, second underlined. No-target accuracy: proportion of the samples without any "
        "target that are answered so. Parse failures: responses that cannot be parsed. Response length: in tokens. "
        f"M tokens, {flop_unit}: of the variant's last stage, where generation counts as a forward pass; "
        f"{look(LONGER).label} is compute-matched: it has the FLOPs that the most expensive of the paper's three is "
        f"estimated to take. {unit.capitalize()}: of making the data and of all trainings that lead to the variant. "
        f"Grey and shuffled images: {look(START).label} with direct prompts{_shortcut_samples(numbers)}.",
        INTERVALS,
        *cut_off_notes(collection),
    )


def differences(numbers: pd.DataFrame) -> Table:
    """Differences of the variants from their common start, from the compute-matched control, and from each other."""
    names = present(numbers)
    others = [*VARIANTS, *(name for name in names if name not in VARIANTS)]
    pairs = [(other, name) for other in others for name in names if other in references(name)]
    rows = []
    for mode, label in MODES.items():
        for other, variant in pairs:
            where = {"variant": variant, "mode": mode, "benchmark": "generalised"}
            cells = [percent(difference(numbers, other, **where, kind=k), True) for k in ("mean", *GROUNDING_KINDS)]
            rows.append(((f"{label} prompts", f"against {look(other).label}", look(variant).label), cells))
    return blocks(
        "differences",
        f"Paired differences of F1@0.5, in points{_sizes(numbers)}.",
        ["mean F1", *GROUNDING_KINDS],
        rows,
        _PAIRED[len(seeds_of(numbers)) > 1],
        "Where an interval includes 0, the two are statistically indistinguishable. The intervals are not corrected "
        "for multiple comparisons.",
    )


_PAIRED = {
    False: "Of one seed: intervals over the same samples, resampled together. Other training seeds may reorder the "
    "variants, so they cannot be ranked over seeds.",
    True: "Means over the seeds that both have, with paired t-intervals, which cover the variance over training seeds. "
    "Where a pair has one seed in common, the interval is over the samples.",
}
"""Whether there are several seeds -> what the intervals of differences cover."""


def shifts(numbers: pd.DataFrame) -> Table:
    """Mean F1 out of distribution beside that on the test set, and what each variant gains over the common start."""
    sets = {"generalised": "test set", **SHIFTS}
    rows: list[tuple[tuple[str, ...], Sequence[Cell]]] = []
    for mode, label in MODES.items():
        for variant in present(numbers):
            each = [{"variant": variant, "mode": mode, "benchmark": name, "kind": "mean"} for name in sets]
            f1: list[Cell] = [percent(look_up(numbers, **where, metric="f1")) for where in each]
            gains = [percent(difference(numbers, START, **where), True) for where in each]
            rows.append(((f"{label} prompts", look(variant).label), [*f1, *gains]))
    samples = pick(numbers, kind="mean", metric="f1")
    n = samples[samples["benchmark"].isin([*SHIFTS])]["n"]
    size = f" ({int(n.max()):,} samples each)" if len(n) else ""
    return blocks(
        "shifts",
        f"Mean F1@0.5 in per cent out of distribution{size}, and the gain over {look(START).label}, in points.",
        [*sets.values(), *(f"{label}: gain" for label in sets.values())],
        rows,
        "Written by the same world, with what no training of the study has seen: four images, where trainings have two "
        "or three; five or six targets, where they have up to four (in the three kinds that can have so many, so not "
        "to be compared with the test set's mean); colours in darker and lighter shades.",
        _PAIRED[len(seeds_of(numbers)) > 1],
    )


def slices(numbers: pd.DataFrame) -> Table:
    """F1 in each slice with CoT prompts minus direct prompts, for every variant, and F1 with either beneath."""
    rows_of_slices = pick(numbers, benchmark="slices")
    names = sorted(rows_of_slices["variant"].unique(), key=position)
    rows: list[tuple[tuple[str, ...], Sequence[Cell]]] = []
    for block, mode, metric in (
        ("CoT minus direct", "cot", "f1_minus_direct_mode"),
        *((f"{label} prompts", mode, "f1") for mode, label in MODES.items()),
    ):
        for variant in names:
            where = {"benchmark": "slices", "variant": variant, "mode": mode, "metric": metric}
            cells = [percent(look_up(numbers, **where, kind=name), metric != "f1") for name in SLICES]
            if any(cell is not None for cell in cells):
                rows.append(((block, look(variant).label), cells))
    sizes = rows_of_slices.drop_duplicates("kind").set_index("kind")["n"]
    each = [f"{label} {sizes[name]:,}" for name, label in SLICES.items() if name in sizes and "/" not in name]
    counts = f" ({', '.join(each)} samples)" if each else ""
    return blocks(
        "slices",
        f"F1@0.5 in per cent by slice of the generalised test set, and the effect of CoT prompts{counts}.",
        list(SLICES.values()),
        rows,
        "Neutral and perception: no association, the query describes its targets. Perception: the grade counts "
        f"perceptual difficulties: a target below {100 * SMALL:.1f} % of its image, an image of {CROWD} "
        "objects or more, and next to a target an object of its category or colour. One hop: another image shows what "
        "is meant; two hops: that has to be located there first; three: this shows what is meant in the next. "
        "F1 over all samples of the slice; intervals over the samples, the same ones with both kinds of prompts.",
        BUILT_IN,
    )


def shortcuts(numbers: pd.DataFrame) -> Table:
    """The mean F1 of every variant as a multiple of each shortcut baseline's."""
    rows = []
    for mode, label in MODES.items():
        for variant in present(numbers):
            where = {"variant": variant, "mode": mode, "benchmark": "generalised", "kind": "mean"}
            times = [scaled(look_up(numbers, **where, metric=f"times_{shortcut}")) for shortcut in SHORTCUTS]
            multiples = [cell.estimate.value for cell in times if isinstance(cell, Number)]
            verdict = None if not multiples else "yes" if min(multiples) >= 3 else "no"
            rows.append(((f"{label} prompts", look(variant).label), [*times, verdict]))
    return blocks(
        "shortcuts",
        "Mean F1@0.5 as a multiple of each shortcut baseline's.",
        [*SHORTCUTS.values(), "at least 3 times each"],
        rows,
        "The constant box and the image-index prior use no image; with grey and shuffled images the same model is "
        "evaluated, with direct prompts where they were not evaluated with CoT prompts. Numerator and denominator are "
        "resampled together, on the samples of the baseline.",
    )


def rewards(numbers: pd.DataFrame) -> Table:
    """GRPO's reward on the fixed validation prompts before and after, term by term."""
    gains = pick(numbers, benchmark="validation_reward", metric="gain")
    keys = sorted(
        {(str(row["variant"]), str(row["mode"]), str(row["kind"])) for _, row in gains.iterrows()},
        key=lambda key: (position(key[0]), list(MODES).index(key[1]), rank_of_term(key[2])),
    )
    rows = []
    for variant, mode, term in keys:
        where = {"variant": variant, "mode": mode, "benchmark": "validation_reward", "kind": term}
        measured = {metric: look_up(numbers, **where, metric=metric) for metric in ("before", "after", "gain")}
        gain = measured["gain"]
        verdict = "" if gain is None else "up" if gain.low > 0 else "down" if gain.high < 0 else "indistinguishable"
        cells: list[Cell] = [scaled(each, 1, 3, metric == "gain") for metric, each in measured.items()]
        rows.append(((look(variant).label, f"{MODES[mode]} prompts", term), [*cells, verdict]))
    n = f"{int(gains['n'].max()):,} " if len(gains) else "the "
    fewer = f" The best of several samples: on {int(gains['n'].min()):,} of them." if gains["n"].nunique() > 1 else ""
    return blocks(
        "rewards",
        f"Reward on {n}fixed validation prompts, before and after GRPO.",
        ["before", "after", "gain", "verdict"],
        rows,
        "Small print: 95 % intervals by bootstrap over the prompts; the gain is paired by prompt. Each term "
        "is in [0, 1]; the total is their weighted sum." + fewer,
    )


def choices(numbers: pd.DataFrame) -> Table:
    """Accuracy of multiple choice about several images, and with the images of other questions."""
    accuracies = pick(numbers, benchmark="understanding", metric="accuracy")
    columns = [*(("understanding", mode) for mode in MODES), ("understanding_shuffled", "direct")]
    rows = []
    for variant in sorted(accuracies["variant"].unique(), key=position):
        where = {"variant": variant, "metric": "accuracy"}
        cells = [percent(look_up(numbers, **where, benchmark=name, mode=mode)) for name, mode in columns]
        rows.append(((look(variant).label,), cells))
    n = f" ({int(accuracies['n'].max()):,})" if len(accuracies) else ""
    caption = f"Multiple-choice questions about several images{n}: accuracy in per cent."
    heads = [*(f"{label} prompts ↑" for label in MODES.values()), "direct, shuffled images"]
    return blocks("choices", caption, heads, rows)


def present(numbers: pd.DataFrame) -> list[str]:
    """The rows of tables: the variants of the ablation, run or not, and whatever else was evaluated."""
    evaluated = pick(numbers, benchmark="generalised", metric="f1", kind="mean")["variant"]
    return sorted({*VARIANTS, *evaluated}.difference({*CONTROLS, *SUPERVISED}.difference(evaluated)), key=position)


def _measures(numbers: pd.DataFrame, benchmark: str, variant: str, mode: str) -> list[Cell]:
    """The cells under _HEADS."""
    where = {"benchmark": benchmark, "variant": variant, "mode": mode}
    f1 = [percent(look_up(numbers, **where, kind=kind, metric="f1")) for kind in ("mean", *GROUNDING_KINDS)]
    shares = [percent(look_up(numbers, **where, kind="all", metric=m)) for m in ("none_accuracy", "unreadable")]
    tokens = look_up(numbers, **where, kind="all", metric="tokens")
    return [*f1, *shares, amount(tokens.value, 0) if tokens else None]


def _sizes(numbers: pd.DataFrame) -> str:
    seeds = len(seeds_of(numbers))
    seed_count = f", {seeds} seed{'s' * (seeds != 1)}" if seeds else ""
    return f" ({_largest_sample(numbers):,} samples{seed_count})" if _largest_sample(numbers) else ""


def _largest_sample(numbers: pd.DataFrame) -> int:
    return int(_headline(numbers)["n"].max()) if len(_headline(numbers)) else 0


def _shortcut_samples(numbers: pd.DataFrame) -> str:
    """On how many samples the altered images were evaluated, if not on all."""
    grey = look_up(numbers, benchmark="blind", variant=START, mode="direct", kind="mean", metric="f1")
    return f", on {grey.n:,} samples" if grey and grey.n != _largest_sample(numbers) else ""


def _with_seeds(numbers: pd.DataFrame, variant: str) -> str:
    """The variant's name, with its number of seeds where that is less than the maximum."""
    f1 = _headline(numbers)
    maximum, own = f1["seed"].nunique(), f1[f1["variant"] == variant]["seed"].nunique()
    return f"{look(variant).label} ({own} of {maximum} seeds)" if 0 < own < maximum else look(variant).label


def _headline(numbers: pd.DataFrame) -> pd.DataFrame:
    """The rows of mean F1, one per run and mode, and those over all seeds."""
    generalised = (numbers["benchmark"] == "generalised") & (numbers["metric"] == "f1")
    return numbers[generalised & (numbers["kind"] == "mean")]
