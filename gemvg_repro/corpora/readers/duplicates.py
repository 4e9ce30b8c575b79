"""Which objects of a frame were annotated twice? Of near-identical boxes with a phrase in common, one is kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ...grounding.boxes import DUPLICATE_IOU, pairwise_iou
from ...grounding.samples import Box
from ..frames import Instance, Skips

REPEATED = "box that repeats another of its category"
"""The class of fault: their IoU is above DUPLICATE_IOU."""


def merged(instances: Iterable[Instance], where: str, skips: Skips) -> tuple[Instance, ...]:
    """The instances without repetitions, each of which is counted. The first one gets what else describes it: a phrase
    of the second alone would otherwise seem to be absent. `where` is the frame."""
    kept: list[Instance] = []
    for instance in instances:
        for n, earlier in enumerate(kept):
            if {*earlier.phrases} & {*instance.phrases} and _same_box(earlier.box, instance.box):
                others = (p for p in instance.phrases if p != earlier.category)
                kept[n] = replace(earlier, attributes=tuple(dict.fromkeys([*earlier.attributes, *others])))
                skips.add(REPEATED, f"{where}: {earlier.id}, {instance.id}")
                break
        else:
            kept.append(instance)
    return tuple(kept)


def _same_box(a: Box | None, b: Box | None) -> bool:
    if a is None or b is None or any(abs(v - w) > 1 - DUPLICATE_IOU for v, w in zip(a, b, strict=True)):
        return False  # no side of a unit box is longer than 1, so that such an IoU is out of reach
    return bool(pairwise_iou([a], [b])[0, 0] > DUPLICATE_IOU)
