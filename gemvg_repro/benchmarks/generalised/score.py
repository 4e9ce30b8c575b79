"""The score of generalised multi-image grounding: any number of targets in several images. The project's own measure.

The headline is F1@0.5: within a kind, from the true positives of all samples (a largest matching among pairs
in the same image with IoU >= 0.5), then the mean over the kinds. An answer that cannot be parsed counts as no
boxes, and is reported.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ...grounding.boxes import match_by_iou, match_largest, target_iou
from ...grounding.parsing import ParsedAnswer, parse_answer
from ...grounding.samples import GROUNDING_KINDS, Mode, Sample
from . import difficulty

THRESHOLD = 0.5


def score(
    samples: Sequence[Sample], texts: Sequence[str], mode: Mode, tokens: Sequence[int] | None = None
) -> pd.DataFrame:
    """One row a sample, in order, from a model's responses (`tokens`: their lengths).

    - sample, scene, kind, mode, pictures (how many), n_true, n_predicted, tokens; hops and difficulties:
      see `difficulty`
    - tp: pairs in a largest matching with IoU >= 0.5
    - iou: the largest sum of IoU over one-to-one matchings, over max(n_true, n_predicted); 1 if both are 0
    - picture_ok: whether the set of images with a box is the true one
    - unreadable: no answer of the expected type was parsed; then iou and picture_ok are 0, targets or not
    - correct: whether the letter is right; missing in samples of grounding

    In samples of understanding, iou and picture_ok are undefined and 0.
    """
    if tokens is None:
        tokens = [0] * len(texts)
    rows = [_row(*each, mode) for each in zip(samples, texts, tokens, strict=True)]
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)


_COLUMNS = {
    "sample": "str", "scene": "str", "kind": "str", "mode": "str", "pictures": "int64", "n_true": "int64",
    "n_predicted": "int64", "tp": "int64", "iou": "float64", "picture_ok": "bool", "unreadable": "bool",
    "correct": "boolean", "tokens": "int64", "hops": "int64", "difficulties": "int64",
}  # fmt: skip


def _row(sample: Sample, text: str, tokens: int, mode: Mode) -> tuple[object, ...]:
    parsed = parse_answer(text, len(sample.pictures))
    unreadable = not _answers(sample, parsed)
    predicted = parsed.targets if sample.choice is None else ()
    iou = target_iou(predicted, sample.targets)
    larger = max(len(predicted), len(sample.targets))
    soft = sum(float(iou[pair]) for pair in match_by_iou(iou)) / larger if larger else 1.0
    pictures = {target.picture for target in predicted} == {target.picture for target in sample.targets}
    grounded = sample.choice is None and not unreadable
    return (
        sample.id,
        sample.scene,
        sample.kind,
        mode,
        len(sample.pictures),
        len(sample.targets),
        len(predicted),
        len(match_largest(iou, THRESHOLD)),
        soft if grounded else 0.0,
        pictures and grounded,
        unreadable,
        None if sample.choice is None else parsed.choice == sample.choice,
        tokens,
        difficulty.hops(sample),
        difficulty.difficulties(sample),
    )


def _answers(sample: Sample, parsed: ParsedAnswer) -> bool:
    """Whether the answer is of the expected type: boxes or "none", or a letter."""
    if sample.choice is not None:
        return parsed.choice is not None
    return bool(parsed.targets) or parsed.none


def summary(scores: pd.DataFrame) -> dict[str, float]:
    """The metrics of a table of `score`; those that are undefined on its samples are left out.

    f1, precision, recall: means over the kinds; f1/<kind>: within one. Over all samples of grounding:
    acc@0.5 (share of targets that are matched), iou, picture_accuracy, count_accuracy, none_accuracy (share
    of samples without targets whose answer says so). Over those of understanding: choice_accuracy. Over all:
    unreadable.
    """
    grounding = scores[scores["kind"].isin(GROUNDING_KINDS)]
    answered = ~grounding["unreadable"]
    by_kind = grounding.groupby("kind")[["tp", "n_true", "n_predicted"]].sum()
    totals = by_kind.sum()
    f1 = _ratio(2 * by_kind["tp"], by_kind["n_true"] + by_kind["n_predicted"])
    right_count = (grounding["n_predicted"] == grounding["n_true"]) & answered
    metrics = {
        "f1": f1.mean(),
        **{f"f1/{kind}": f1.get(kind) for kind in GROUNDING_KINDS},
        "precision": _ratio(by_kind["tp"], by_kind["n_predicted"]).mean(),
        "recall": _ratio(by_kind["tp"], by_kind["n_true"]).mean(),
        "acc@0.5": totals["tp"] / totals["n_true"] if totals["n_true"] else None,
        "iou": grounding["iou"].mean(),
        "picture_accuracy": grounding["picture_ok"].mean(),
        "count_accuracy": right_count.mean(),
        "none_accuracy": right_count[grounding["n_true"] == 0].mean(),
        "choice_accuracy": scores["correct"].astype("Float64").mean(),
        "unreadable": scores["unreadable"].mean(),
    }
    return {name: float(value) for name, value in metrics.items() if value is not None and pd.notna(value)}


def _ratio(part: pd.Series, whole: pd.Series) -> pd.Series:
    return part / whole.where(whole > 0)
