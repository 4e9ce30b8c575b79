"""What do shortcuts score without grounding? Baselines fitted on other samples than they are applied to.

Two need no model: `constant_box` answers with one box in every image, `picture_prior` with that box in the images that
most often have a target. Their letter, in samples of understanding, is the most common one. Two are inputs for a model:
`grey` leaves it the question and the images' sizes, `shuffled` shows another sample's images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np

from ...files.pictures import GreyPicture
from ...grounding.answers import format_answer
from ...grounding.boxes import as_array, pairwise_iou
from ...grounding.samples import Box, Kind, Sample, Target
from .score import THRESHOLD

_MAX_CANDIDATES = 1000
_MAX_TARGETS = 5000


def best_box(training: Sequence[Sample]) -> Box:
    """The target's box that most targets overlap with IoU >= 0.5; of equals, the one of the highest mean IoU.

    Of very many targets, evenly spaced ones are compared: 1,000 candidates against 5,000. Raises ValueError
    if there are no targets.
    """
    boxes = as_array([target.box for sample in training for target in sample.targets])
    if not len(boxes):
        raise ValueError("the best constant box needs samples with targets to be fitted on; there are none")
    candidates = _evenly(np.unique(boxes, axis=0), _MAX_CANDIDATES)
    targets = _evenly(boxes, _MAX_TARGETS)
    scores: list[tuple[float, float]] = []
    for chunk in np.array_split(candidates, -(-len(candidates) // 50)):
        iou = pairwise_iou(chunk, targets)
        scores += zip((iou >= THRESHOLD).mean(axis=1).tolist(), iou.mean(axis=1).tolist(), strict=True)
    x1, y1, x2, y2 = candidates[scores.index(max(scores))].tolist()
    return x1, y1, x2, y2


def _evenly(rows: np.ndarray, limit: int) -> np.ndarray:
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), limit)).round().astype(np.int64)]


def constant_box(training: Sequence[Sample], samples: Sequence[Sample]) -> list[str]:
    """Answers to `samples`: the best box of `training` in every image."""
    box, letter = best_box(training), _common_letter(training)
    return [_answer(sample, box, range(len(sample.pictures)), letter) for sample in samples]


def picture_prior(training: Sequence[Sample], samples: Sequence[Sample]) -> list[str]:
    """Answers to `samples`: the best box of `training`, in the images where it scored there.

    For each kind and number of images, as many of the images with the most hits as give the highest F1. A
    combination that `training` lacks gets the box in every image.
    """
    box, letter = best_box(training), _common_letter(training)
    groups: dict[tuple[Kind, int], list[Sample]] = {}
    for sample in training:
        groups.setdefault((sample.kind, len(sample.pictures)), []).append(sample)
    prior = {group: _best_pictures(members, box) for group, members in groups.items()}
    return [
        _answer(sample, box, prior.get((sample.kind, n), range(n)), letter)
        for sample in samples
        for n in [len(sample.pictures)]
    ]


def _best_pictures(group: Sequence[Sample], box: Box) -> list[int]:
    """The images to answer in: sorted by hits, the first ones up to the highest F1."""
    hits = np.zeros(len(group[0].pictures))
    for sample in group:
        if sample.targets:
            close = pairwise_iou([box], [target.box for target in sample.targets])[0] >= THRESHOLD
            for picture in {t.picture for t, hit in zip(sample.targets, close, strict=True) if hit}:
                hits[picture] += 1
    order = np.argsort(-hits, kind="stable")
    n_true = sum(len(sample.targets) for sample in group)
    n_predicted = np.arange(1, len(hits) + 1) * len(group)
    f1 = 2 * hits[order].cumsum() / (n_predicted + n_true)
    return sorted(order[: int(f1.argmax()) + 1].tolist())


def _common_letter(training: Sequence[Sample]) -> str:
    letters = Counter(sample.choice for sample in training if sample.choice is not None)
    return min(letters, key=lambda letter: (-letters[letter], letter)) if letters else "A"


def _answer(sample: Sample, box: Box, pictures: Sequence[int], letter: str) -> str:
    return letter if sample.choice is not None else format_answer([Target(picture, box) for picture in pictures])


def grey(samples: Sequence[Sample]) -> list[Sample]:
    """The samples with grey images of the same sizes."""
    return [replace(s, pictures=tuple(GreyPicture(picture) for picture in s.pictures)) for s in samples]


def shuffled(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """The samples, each with the images of a sample of another scene that has as many images, used once.

    Where more than half of the samples with as many images are of one scene, that is impossible: they are left
    out, so the result may be shorter.
    """
    groups: dict[int, list[int]] = {}
    for index, sample in enumerate(samples):
        groups.setdefault(len(sample.pictures), []).append(index)
    donors: dict[int, int] = {}
    for pictures, members in sorted(groups.items()):
        scenes: dict[str, list[int]] = {}
        for index in members:
            scenes.setdefault(samples[index].scene, []).append(index)
        in_turn = list(scenes.values())
        Random(f"{seed}/{pictures}").shuffle(in_turn)
        most = max(map(len, in_turn))
        order = [index for scene in in_turn for index in scene]
        if 2 * most <= len(order):  # so a rotation by `most` moves every sample beyond its own scene
            donors |= zip(order, order[most:] + order[:most], strict=True)
    return [replace(samples[i], pictures=samples[donors[i]].pictures) for i in sorted(donors)]
