"""Which samples does a finished data run hold, to train, to validate and to test on?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..corpora import index, mg_data, recipe, shards, user_coco
from ..corpora.sources import SOURCES
from ..files.validation import Refused
from ..grounding.samples import Sample
from ..miniature import dataset
from ..miniature.exports import benchmarks as exports
from ..miniature.shifts import SHIFTS
from ..runs.layout import WORLD_FILE
from ..study.profiles import DataSettings
from ..study.spec import RunSpec
from ..study.variants import FORMS

BENCHMARKS = "benchmarks"
OFFICIAL = "official"
"""The world's sources in their official formats."""
MG_FOLDER = "mg_data"
PROMPTS = "prompts"
"""A folder with both of these of its own: the prompts of GRPO, where they are about other pictures."""


def world_pictures(folder: Path) -> dict[str, Path]:
    """Where the images of the world's sources lie in a data run's folder, wherever that is by now."""
    return {name: source.pictures(folder / OFFICIAL / name) for name, source in SOURCES.items()}


@dataclass(frozen=True)
class TrainingSamples:
    """The samples of a training.

    Attributes:
        labelled: what a supervised stage learns; empty for GRPO.
        prompts: what GRPO, or a control that stands beside it, takes its prompts from; empty for the others.
        validation: what it is watched on.
    """

    labelled: Sequence[Sample]
    prompts: Sequence[Sample]
    validation: Sequence[Sample]


def for_training(spec: RunSpec[Any]) -> TrainingSamples:
    """The samples that a training reads."""
    return TrainingSamples(
        labelled=() if spec.kind in FORMS else load(spec, "train"),
        prompts=() if spec.kind in spec.sft else first_of_each_scene(load(spec, "train", "grpo")),
        validation=load(spec, "validation"),
    )


def first_of_each_scene(train_samples: Sequence[Sample]) -> list[Sample]:
    """The sample that each scene was made for: the kinds of these are mixed as in the test set."""
    first: dict[str, Sample] = {}
    for sample in train_samples:
        first.setdefault(sample.scene, sample)
    return list(first.values())


def load(spec: RunSpec[Any], split: index.Split, stage: recipe.Stage | None = None) -> list[Sample]:
    """The samples of a split for a run, from the finished data run that it needs, or that it is; in order.

    Of shards it is trained on those of the run's stage, or of another `stage`. A COCO-format file is trained on as
    composed from it, and is validated and tested on as it is: every category of every image, one image at a time.
    """
    params, settings, folder = spec.data.parameters, spec.profile.data, spec.data.folder
    is_world = not params.given and (folder / WORLD_FILE).is_file()
    if is_world and split != "train":
        return dataset.read(folder / WORLD_FILE, split)
    stage = stage or (spec.variant.stage if spec.variant and split == "train" else "sft")
    has_own_prompts = is_world and stage == "grpo" and (folder / PROMPTS).is_dir()
    composed = folder / PROMPTS if has_own_prompts else folder
    source = params.given or composed / MG_FOLDER / mg_data.SHARDS
    if source.is_dir():
        roots = world_pictures(composed) if is_world else None
        return _of_shards(source, stage, None if has_own_prompts else split, settings, roots)
    coco = user_coco.load(source, settings.most_pixels, params.images_folder)
    return user_coco.samples_of(coco, split == "train", settings.seed, settings.composed)


def held_out(spec: RunSpec[Any]) -> list[list[Sample]]:
    """The validation and test samples for an evaluation, from its finished data run.

    Raises:
        Refused: there are none; a training set of a few scenes holds none out.
    """
    splits = [load(spec, "validation"), load(spec, "test")]
    for split, samples in zip(("validation", "test"), splits, strict=True):
        if not any(sample.choice is None for sample in samples):
            raise Refused(
                f"the data of {spec.data.folder} has no {split} samples, of which an evaluation needs some; one scene "
                "in fifty is held out for each: compose more of it, or evaluate on a file: -p data FILE.json"
            )
    return splits


def shifted(spec: RunSpec[Any]) -> dict[str, list[Sample]]:
    """The samples out of distribution that an evaluation's data run holds, by what is new in them."""
    drawn = spec.data.folder / WORLD_FILE
    if spec.data.parameters.given or not drawn.is_file():
        return {}
    return {shift: dataset.read(drawn, shift) for shift in SHIFTS}


def _of_shards(
    folder: Path, stage: recipe.Stage, split: index.Split | None, settings: DataSettings,
    roots: Mapping[str, Path] | None,
) -> list[Sample]:  # fmt: skip
    """In training, where what shares a scene shares its images, the samples about the same images are one.

    Held-out samples are of grounding only: nothing here scores free text.
    """
    conversations = shards.conversations(folder, stage, split, roots=roots, most_pixels=settings.most_pixels)
    if split in ("validation", "test"):
        return [turns[0] for turns in conversations if turns[0].text is None]
    return [replace(sample, scene=turns[0].id) for turns in conversations for sample in turns]


def exported(spec: RunSpec[Any]) -> dict[str, Path]:
    """The benchmarks in official formats that an evaluation's data run holds: the root of each by its name."""
    folder = spec.data.folder / BENCHMARKS
    return {name: root for name in exports.WRITERS if (root := folder / name).is_dir()}
