"""What is a study trained and scored on? The data run: the world's sources composed, official ones, or a given file."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..corpora import index, manifest, mg_data, recipe, shards, user_coco
from ..corpora.sources import SOURCES
from ..files.atomic import writing
from ..files.pictures import sliver
from ..files.validation import Faults, Refused
from ..grounding.samples import Sample
from ..miniature import dataset
from ..miniature.exports import benchmarks as exports
from ..miniature.exports import sources
from ..runs.directory import Run, result_of, run_id
from ..runs.progress import ProgressPrinter
from ..study.identity import CONTINUES, identify, locate, threads_of
from ..study.parameters import DataParameters, ParameterError, Parameters, resolve
from ..study.profiles import DataSettings, Profile, load_profile

WORLD_FILE = "samples.parquet"
BENCHMARKS = "benchmarks"
OFFICIAL = "official"
"""The world's sources in their official formats."""
MG_FOLDER = "mg_data"


def make(asked: DataParameters) -> Mapping[str, Any]:
    """Composes the training set of the world's sources or of official ones, or reads and checks what is given; returns
    the data run's result. Raises Refused for files that are not used."""
    profile = load_profile(asked.profile)
    identity = identify(asked, profile)
    started = time.monotonic()
    facts = check(asked)
    with Run.open(asked.runs_folder, identity.name, identity.parameters) as run:
        if run.finished is not None:
            return run.finished
        if asked.sources:
            made = _compose(run.folder, asked.sources, asked, profile)
            facts = {"source": "official files", **_facts_of_shards(made), "shards": str(made)}
        elif profile.data.recipe is not None and not asked.data:
            facts = {"source": "world", **_of_the_world(run.folder, profile.data.recipe, asked, profile)}
        return run.finish({**facts, "cost": {"seconds": round(time.monotonic() - started, 1)}})


def check(asked: Parameters) -> dict[str, Any]:
    """What the data run of what is given will say; nothing once it is finished, and where nothing is given.

    Reads the whole file and decodes every image, or holds shards against their manifest, and writes nothing: called
    before any work begins.

    Raises:
        Refused: with the record and key of every fault, or it has too few prompts for the GRPO that is asked for.
        ParameterError: nothing is given, and the profile has no data of its own.
    """
    data: str = getattr(asked, "data", "")
    profile = load_profile(asked.profile)
    if data:
        given = resolve(data)
        known = DataParameters.check({k: v for k, v in dict(asked).items() if k in ("profile", "runs", "data")})
        finished = result_of(locate(known))
        facts = finished or _facts_of(given, data, profile.data)
        mode: Any = getattr(asked, "mode", "")
        if CONTINUES.get(mode) == "cot_sft" and not getattr(asked, "checkpoint", ""):
            _check_prompts(given, facts["counts"], profile, getattr(asked, "steps", 0))
        return {} if finished else facts
    if profile.data.recipe is None and not getattr(asked, "sources", None):
        raise ParameterError(
            f"profile {asked.profile} has no data of its own. Compose it from official downloads by data.ipynb "
            "(-p roots 'coco=/data/coco d3=/data/d3') and give -p data FOLDER; or give a COCO-format file: "
            "-p data FILE.json"
        )
    return {}


def _facts_of(given: Path, data: str, settings: DataSettings) -> dict[str, Any]:
    if given.is_dir():
        return {"source": data, **_facts_of_shards(given), "shards": str(given)}
    return {"source": data, **_facts_of_file(given, settings)}


def _check_prompts(given: Path, counts: Mapping[str, int], profile: Profile, steps: int) -> None:
    """Stage 3 asks every prompt once; without this, it would be days until it is found that there are too few."""
    grpo = profile.grpo.for_steps(steps)
    there = shards.prompts(given) if given.is_dir() else counts["images"] + profile.data.composed
    if there < grpo.steps * grpo.prompts:
        raise Refused(
            f"{given} has {there:,} prompts for GRPO, whose {grpo.steps:,} steps of {grpo.prompts} take "
            f"{grpo.steps * grpo.prompts:,} distinct ones; give more data, or at most {there // grpo.prompts} steps: "
            "-p steps (of every stage), or `steps` in section grpo of the profile"
        )


def _facts_of_file(file: Path, settings: DataSettings) -> dict[str, Any]:
    coco = user_coco.load(file, settings.most_pixels)
    return {"counts": {"images": len(coco.images)}, "left_out": list(coco.left_out)}


def check_pictures(file: Path, samples: Sequence[Sample]) -> None:
    """Decodes every picture of the samples of a file once: one that is missing or broken is found before work begins.

    Raises:
        Refused: with the sample of every picture that cannot be read, or is too slender for Qwen2-VL.
    """
    faults = Faults(file)
    announce = ProgressPrinter("pictures")
    started = time.monotonic()
    for done, sample in enumerate(samples, 1):
        for number, picture in enumerate(sample.pictures, 1):
            where = f"{sample.id}, picture {number}"
            try:
                height, width, _ = picture.pixels().shape
            except Refused as error:
                faults.add(where, str(error))
                continue
            if slender := sliver(width, height):
                faults.add(where, slender)
        announce(done, len(samples), (time.monotonic() - started) / done * (len(samples) - done), {})
    faults.refuse()


def _compose(folder: Path, roots: Mapping[str, Path], asked: DataParameters, profile: Profile) -> Path:
    """Composes the training set and returns the folder of its shards; what an interrupted run has read already is not
    read again."""
    made = folder / MG_FOLDER / mg_data.SHARDS
    if not made.exists():
        bars, composition = mg_data.ProgressBars(), profile.data.composition
        mg_data.make(
            made.parent, roots, recipe.load(composition.file).scaled(composition.share * asked.share),
            asked.benchmarks, workers=_workers(profile),
            embed=asked.embed, most_pixels=profile.data.most_pixels, progress=bars,
        )  # fmt: skip
        bars.close()
    return made


def _workers(profile: Profile) -> int:
    return min(threads_of("data", profile), os.cpu_count() or 1)


def _of_the_world(folder: Path, held_out: dataset.Recipe, asked: DataParameters, profile: Profile) -> dict[str, Any]:
    """The world's sources in official formats, the training set composed of them, and what is held out, drawn."""
    official = folder / OFFICIAL
    if not official.is_dir():
        partial = official.with_name(f"{OFFICIAL}.part")
        shutil.rmtree(partial, ignore_errors=True)
        with writing(partial):
            exported, bars = profile.data.composition.exported, mg_data.ProgressBars()
            sources.write(partial, held_out.seed, exported, _workers(profile), bars)
            bars.close()
        partial.replace(official)
    made = _compose(folder, {name: official / name for name in profile.data.composition.exported}, asked, profile)
    shutil.rmtree(made.parent / mg_data.INDEXES, ignore_errors=True)  # made again in seconds
    composed, drawn = _facts_of_shards(made), _draw(folder, held_out, profile.data.benchmarks)
    trained = shards.samples(made, "sft", "train", roots=_pictures(folder))
    return {
        **composed,
        "content": run_id({"composed": composed["content"], "drawn": drawn["content"]}),
        "counts": {"train": {**_counts(list(trained)), "stages": composed["counts"]}, **drawn["counts"]},
    }


def _pictures(folder: Path) -> dict[str, Path]:
    """Where the pictures of the world's sources lie in a data run's folder, wherever that is by now."""
    return {name: known.pictures(folder / OFFICIAL / name) for name, known in SOURCES.items()}


def _facts_of_shards(folder: Path) -> dict[str, Any]:
    """What the manifest says, once every shard was held against it."""
    shards.verify(folder)
    content = manifest.manifest(folder)
    facts = {name: content[name] for name in ("content", "cells", "paper", "sources")}
    stages = {stage: sum(c["stages"][stage] for c in content["cells"].values()) for stage in recipe.STAGES}
    return {**facts, "counts": {"samples": content["rows"], **stages}}


def _draw(folder: Path, recipe: dataset.Recipe, benchmarks: Mapping[str, int]) -> dict[str, Any]:
    with writing(folder / WORLD_FILE):
        digest = dataset.write(folder / WORLD_FILE, recipe)
    with writing(folder / BENCHMARKS):
        exports.write(folder / BENCHMARKS, recipe.seed, benchmarks)
    splits = {split: dataset.read(folder / WORLD_FILE, split) for split in dataset.SPLITS}
    return {"content": digest, "counts": {split: _counts(samples) for split, samples in splits.items()}}


def _counts(samples: Sequence[Sample]) -> dict[str, Any]:
    grounding = [s for s in samples if s.choice is None]
    return {
        "samples": len(samples),
        "scenes": len({s.scene for s in samples}),
        "kinds": dict(Counter(s.kind for s in samples)),
        "targets": {str(n): count for n, count in sorted(Counter(len(s.targets) for s in grounding).items())},
    }


def load(folder: Path, asked: Parameters, split: index.Split) -> list[Sample]:
    """The samples of a split of a finished data run, in order.

    Of shards it is trained on those of the stage that `asked` is about. A COCO-format file is trained on as composed
    from it, and is validated and scored on as it is: every category of every image, one image at a time.
    """
    data: str = getattr(asked, "data", "")
    settings = load_profile(asked.profile).data
    drawn = folder / WORLD_FILE
    if not data and split != "train" and drawn.is_file():
        return dataset.read(drawn, split)
    if (composed := resolve(data) if data else folder / MG_FOLDER / mg_data.SHARDS).is_dir():
        roots = _pictures(folder) if not data and drawn.is_file() else None
        return _of_shards(composed, getattr(asked, "mode", "sft"), split, settings, roots)
    coco = user_coco.load(resolve(data), settings.most_pixels)
    detection = user_coco.detection(coco)
    if split != "train":
        return detection
    return detection + user_coco.semantic(coco, settings.seed, settings.composed)


def held_out(folder: Path, asked: Parameters) -> tuple[list[Sample], list[Sample]]:
    """The validation and test samples of a finished data run.

    Raises:
        Refused: there are none; a training set of a few scenes holds none out.
    """
    found = load(folder, asked, "validation"), load(folder, asked, "test")
    for split, samples in zip(("validation", "test"), found, strict=True):
        if not any(sample.choice is None for sample in samples):
            raise Refused(
                f"the data of {folder} has no {split} samples, of which an evaluation needs some; one scene in fifty "
                "is held out for each: compose more of it, or evaluate on a file: -p data FILE.json"
            )
    return found


def _of_shards(
    folder: Path, mode: str, split: index.Split, settings: DataSettings, roots: Mapping[str, Path] | None
) -> list[Sample]:
    """In training, where what shares a scene shares its pictures, the samples about the same pictures are one.

    Held-out samples are of grounding only: nothing here scores free text.
    """
    stages: Mapping[str, recipe.Stage] = {"sft": "sft", "cot_sft": "cot_sft", "sft_more": "cot_sft"}
    stage = stages.get(mode, "grpo") if split == "train" else "sft"
    found = shards.conversations(folder, stage, split, roots=roots, most_pixels=settings.most_pixels)
    if split != "train":
        return [turns[0] for turns in found if turns[0].text is None]
    return [replace(sample, scene=turns[0].id) for turns in found for sample in turns]


def exported(folder: Path) -> dict[str, Path]:
    """The benchmarks in official formats that a data run holds: the root of each by its name."""
    return {name: root for name in exports.WRITERS if (root := folder / BENCHMARKS / name).is_dir()}
