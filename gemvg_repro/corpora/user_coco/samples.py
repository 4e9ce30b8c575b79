"""Composes training and evaluation samples of a COCO-format file: detection and semantic association."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from ...files.pictures import MAX_ASPECT, CutOut
from ...files.validation import Refused
from ...grounding.number_words import CARDINALS
from ...grounding.samples import Box, Sample, Target
from .file import AnnotatedImage, Coco

_SMALLEST_REFERENCE = 14  # pixels of a side: one patch of Qwen2-VL
_WITHOUT_TARGET = 0.1


def samples_of(coco: Coco, train: bool, seed: int, count: int) -> list[Sample]:
    """The samples of detection; in training, `count` of semantic association follow them, drawn by `seed`."""
    return detection(coco) + (semantic(coco, seed, count) if train else [])


def detection(coco: Coco) -> list[Sample]:
    """One referential sample for each image and each category in it: find every object of the category."""
    samples = []
    for image in coco.images:
        for category in image.categories:
            targets = image.targets(category, 0)
            samples.append(
                Sample(
                    id=f"detection/{image.id}/{category}",
                    scene=f"image/{image.id}",
                    kind="referential",
                    source=coco.file.name,
                    pictures=(image.picture,),
                    query=f"Find every {category}.",
                    targets=targets,
                    chain=f"{category}: {_evidence(targets, range(1))}",
                )
            )
    return samples


def semantic(coco: Coco, seed: int, count: int, most_pictures: int = 3) -> list[Sample]:
    """`count` samples of semantic association, each by a seed of its own: 2 to `most_pictures` pictures.

    Picture 1 is one object, cut out of an image; the others are other images, in any order, with one or more
    of its category among them, but in a tenth of the samples none (if there are images without the category).
    Targets are all objects of the category in the others. Raises Refused if no category is in two images.
    """
    pools = _pools(coco)
    _require(coco, pools)
    return [_semantic(coco, pools, Random(f"{seed}/{n}"), n, most_pictures) for n in range(count)]


def check_trainable(coco: Coco) -> None:
    """Raises Refused if the file gives no sample of semantic association, which every training takes."""
    _require(coco, _pools(coco))


def _require(coco: Coco, pools: list[_Pool]) -> None:
    if not pools:
        raise Refused(
            f"{coco.file} cannot be trained on: semantic association needs a category with boxes in two images, one of "
            f"at least {_SMALLEST_REFERENCE} pixels a side and sides of at most {MAX_ASPECT} to 1; there is none"
        )


@dataclass(frozen=True, slots=True)
class _Pool:
    category: str
    positives: tuple[AnnotatedImage, ...]
    references: tuple[tuple[AnnotatedImage, Box], ...]


def _pools(coco: Coco) -> list[_Pool]:
    positives: dict[str, list[AnnotatedImage]] = {}
    for image in coco.images:
        for category in image.categories:
            positives.setdefault(category, []).append(image)
    pools = []
    for category, images in sorted(positives.items()):
        references = tuple(
            (image, box)
            for image in images
            for name, box in image.objects
            if name == category and _can_be_shown(image, box)
        )
        if len(images) > 1 and references:
            pools.append(_Pool(category, tuple(images), references))
    return pools


def _can_be_shown(image: AnnotatedImage, box: Box) -> bool:
    """Whether the part of an image in a box is large enough to be an image of its own, and not too slender."""
    if min((box[2] - box[0]) * image.width, (box[3] - box[1]) * image.height) < _SMALLEST_REFERENCE:
        return False
    return CutOut(image.picture, box).sliver(image.width, image.height, image.picture.most_pixels) is None


def _semantic(coco: Coco, pools: list[_Pool], rng: Random, number: int, most_pictures: int) -> Sample:
    pool = rng.choice(pools)
    image, box = rng.choice(pool.references)
    others = rng.randint(1, most_pictures - 1)
    positives = 0 if rng.random() < _WITHOUT_TARGET else rng.randint(1, others)
    images = _without(coco, pool.category, rng, others - positives)
    size = min(others - len(images) + 1, len(pool.positives))  # one more, in case the reference is drawn
    drawn = [positive for positive in rng.sample(pool.positives, size) if positive.id != image.id]
    images += drawn[: others - len(images)]
    rng.shuffle(images)
    targets = tuple(t for n, other in enumerate(images) for t in other.targets(pool.category, n + 1))
    evidence = _evidence(targets, range(1, len(images) + 1))
    return Sample(
        id=f"semantic/{number}",
        scene=f"semantic/{number}",  # its own: what shares a scene in training shares its pictures
        kind="semantic",
        source=coco.file.name,
        pictures=(CutOut(image.picture, box), *(other.picture for other in images)),
        query="Find every object of the same category as the object in Picture 1.",
        targets=targets,
        chain=f"Picture 1 shows a {pool.category}. {pool.category}: {evidence}",
    )


def _without(coco: Coco, category: str, rng: Random, limit: int) -> list[AnnotatedImage]:
    """Up to `limit` different images without the category; fewer if twenty draws do not find them."""
    images: dict[int | str, AnnotatedImage] = {}
    for _ in range(20 if limit else 0):
        image = rng.choice(coco.images)
        if category not in image.unclear and all(name != category for name, _ in image.objects):
            images[image.id] = image
        if len(images) == limit:
            break
    return list(images.values())


def _evidence(targets: tuple[Target, ...], pictures: range) -> str:
    counts = {p: sum(t.picture == p for t in targets) for p in pictures}
    words = {p: CARDINALS[n] if n < len(CARDINALS) else str(n) for p, n in counts.items()}
    return ", ".join(f"{word} in Picture {p + 1}" for p, word in words.items()) + "."
