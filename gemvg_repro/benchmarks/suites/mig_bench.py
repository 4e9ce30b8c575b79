"""How does a model do on MIG-Bench? The official score to the last digit, and ours beside it.

The official script (github.com/thunlp/Migician, eval/utils.py and eval/MIG_bench_eval.py:52-73) reads boxes
by six patterns, scores the first, and ignores which image the answer names. Ours parses by the answer
grammar, and where the file says in which image the target is, that is scored too.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...grounding.parsing import parse_answer
from ...grounding.samples import Box, Mode, Sample
from ..interface import BenchmarkScore, Metric, TextBenchmark
from ..prompts import PromptTemplates, authors_templates
from ..sample_scores import SampleScore
from .mig_bench_file import FILE, FOLDER, TASKS, MigRecord, load, samples

_INTEGER, _DECIMAL = r"(\d+)", r"(\d+\.\d+)"
_OFFICIAL = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\({_INTEGER},\s*{_INTEGER}\),\s*\({_INTEGER},\s*{_INTEGER}\)",
        r"\[" + r",\s*".join([_DECIMAL] * 4) + r"\]",
        rf"\({_DECIMAL},{_DECIMAL}\),\({_DECIMAL},{_DECIMAL}\)",
        r"\(" + r",\s*".join([_DECIMAL] * 4) + r"\)",
        r"\[" + r",\s*".join([_INTEGER] * 4) + r"\]",
        "<box>" + r"\s+".join([_INTEGER] * 4) + "</box>",
    )
)
"""In the order in which they are tried (eval/utils.py:19-35); the first that matches anywhere is used."""


def official_box(response: str) -> list[float] | None:
    """The box that the official script scores: the first of the first pattern that occurs; None without one.

    Its quirk is kept (eval/utils.py:36-41): a value above 1 is in thousandths; a value of 1 is a thousandth
    if the box is the only one, and the whole side if there are several.
    """
    matches: list[Any] = next(filter(None, (pattern.findall(response) for pattern in _OFFICIAL)), [])
    if not matches:
        return None
    only = len(matches) == 1
    values = [float(value) for value in matches[0]]
    if math.inf in values:  # hundreds of digits
        return None
    return [value / 1000 if value > 1 or (only and value == 1) else value for value in values]


def official_iou(true: Box, predicted: Sequence[float] | None) -> float:
    """The official IoU (eval/utils.py:61-83), operation by operation; 0 without a box, and if inverted."""
    if predicted is None:
        return 0.0
    left, top = max(true[0], predicted[0]), max(true[1], predicted[1])
    right, bottom = min(true[2], predicted[2]), min(true[3], predicted[3])
    if right < left or bottom < top:
        return 0.0
    intersection = (right - left) * (bottom - top)
    true_area = (true[2] - true[0]) * (true[3] - true[1])
    predicted_area = (predicted[2] - predicted[0]) * (predicted[3] - predicted[1])
    return intersection / (true_area + predicted_area - intersection)


def official_counts(records: Sequence[MigRecord], responses: Sequence[str]) -> dict[str, dict[str, float]]:
    """By task, as the official script counts: IOU@0.7, IOU@0.5, IOU@0.3 (>=), AVE_IOU (a sum) and TOTAL.

    `responses` are read as they are, as the official script does; of ours pass the `visible_text`.
    """
    counts: dict[str, dict[str, float]] = {}
    for record, response in zip(records, responses, strict=True):
        empty = {"IOU@0.7": 0, "IOU@0.5": 0, "IOU@0.3": 0, "AVE_IOU": 0.0, "TOTAL": 0}
        task = counts.setdefault(record.task, empty)
        iou = official_iou(record.answer, official_box(response))
        for threshold in (0.7, 0.5, 0.3):
            task[f"IOU@{threshold}"] += iou >= threshold
        task["AVE_IOU"] += iou
        task["TOTAL"] += 1
    return counts


class MigBench(TextBenchmark[MigRecord]):
    """MIG-Bench; the official score is `official_counts`. Beside it: whether the answer is in the right image."""

    name = "mig_bench"
    files = (FILE, f"{FOLDER}/{FILE}", f"eval/{FOLDER}/{FILE}")

    def load(self, file: Path, root: Path | None = None, most_pixels: int | None = None) -> list[MigRecord]:
        return load(file, root, most_pixels)

    def samples(self, data: Sequence[MigRecord], mode: Mode, templates: PromptTemplates | None = None) -> list[Sample]:
        templates = templates or authors_templates()
        prompts = (templates.fill(self.name, mode, question=record.question) for record in data)
        return [replace(sample, prompt=prompt) for sample, prompt in zip(samples(data), prompts, strict=True)]

    def counts(self, data: Sequence[MigRecord]) -> dict[str, int]:
        return dict(Counter(record.task for record in data))

    def score(self, data: Sequence[MigRecord], parsed: Sequence[str]) -> BenchmarkScore:
        counts = official_counts(data, parsed)
        pictures = _picture_accuracy(data, parsed)
        tasks = [task for task in TASKS if task in counts]
        rows = [_row(task, counts[task], pictures.get(task)) for task in tasks]
        defined = [value for value in pictures.values() if value is not None]
        metrics = ("Acc@0.3", "Acc@0.5", "Acc@0.7", "mean IoU")
        average = {name: sum(row[name] for row in rows) / len(rows) for name in metrics}
        picture = sum(defined) / len(defined) if defined else None
        beside = {
            "macro_average": average["Acc@0.5"],
            "picture_accuracy": pictures,
            "without_box": sum(official_box(text) is None for text in parsed) / len(parsed),
        }
        rows.append({"task": "macro average", "n": len(data), **average, "picture": picture})
        official = {"IOU@0.5": "Acc@0.5", "IOU@0.7": "Acc@0.7", "AVE_IOU": "mean IoU"}
        headline = {name: Metric(average[ours] / 100, len(data), "macro", name) for name, ours in official.items()}
        return BenchmarkScore(counts, beside, rows, headline)

    def sample_scores(self, data: Sequence[MigRecord], parsed: Sequence[str]) -> list[SampleScore]:
        scores = []
        for sample, record, text in zip(samples(data), data, parsed, strict=True):
            iou = official_iou(record.answer, official_box(text))
            values = {"IOU@0.5": float(iou >= 0.5), "IOU@0.7": float(iou >= 0.7), "AVE_IOU": iou}
            scores += [SampleScore(sample.id, sample.scene, record.task, of, value) for of, value in values.items()]
        return scores


def _row(task: str, counts: Mapping[str, float], picture: float | None) -> dict[str, Any]:
    total = counts["TOTAL"]
    accuracies = {f"Acc@{t}": 100 * counts[f"IOU@{t}"] / total for t in (0.3, 0.5, 0.7)}
    return (
        {"task": task, "n": total}
        | accuracies
        | {
            "mean IoU": 100 * counts["AVE_IOU"] / total,
            "picture": picture,
        }
    )


def _picture_accuracy(records: Sequence[MigRecord], responses: Sequence[str]) -> dict[str, float | None]:
    """By task, in percent: how often the first box of an answer is in the right image; None where the file has none."""
    hits_by_task: dict[str, list[bool]] = {}
    for record, response in zip(records, responses, strict=True):
        hits = hits_by_task.setdefault(record.task, [])
        if record.picture is not None:
            targets = parse_answer(response, len(record.pictures)).targets
            hits.append(bool(targets) and targets[0].picture == record.picture)
    return {task: 100 * sum(hits) / len(hits) if hits else None for task, hits in hits_by_task.items()}


BENCHMARKS = (MigBench(),)
