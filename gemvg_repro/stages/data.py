"""How is a data run made? From the world's sources, from official ones, or by checking a given file."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..corpora import mg_data, recipe, shards, user_coco
from ..files.atomic import writing
from ..files.pictures import sliver
from ..files.validation import Faults, Refused
from ..grounding.samples import Sample
from ..miniature import dataset
from ..miniature.exports import benchmarks as exports
from ..miniature.exports import sources
from ..runs.directory import Run, run_id
from ..runs.progress import ProgressPrinter
from ..study.parameters import DataParameters
from ..study.profiles import DataSettings
from ..study.spec import RunSpec
from .samples import BENCHMARKS, MG_FOLDER, OFFICIAL, WORLD_FILE, world_pictures


def make(spec: RunSpec[DataParameters]) -> Mapping[str, Any]:
    """Composes the training set of the world's sources or of official ones, or reads and checks what is given; returns
    the data run's result. Raises Refused for files that are not used."""
    params = spec.parameters
    started = time.monotonic()
    facts = check(spec)
    with Run.open(params.runs_folder, spec.identity.name, spec.identity.parameters) as run:
        if run.finished is not None:
            return run.finished
        if params.sources:
            composed = _compose(run.folder, params.sources, spec)
            facts = {"source": "official files", **_facts_of_shards(composed), "shards": str(composed)}
        elif spec.profile.data.recipe is not None and not params.data:
            facts = {"source": "world", **_of_the_world(run.folder, spec.profile.data.recipe, spec)}
        return run.finish({**facts, "cost": {"seconds": round(time.monotonic() - started, 1)}})


def check(spec: RunSpec[Any]) -> dict[str, Any]:
    """The result that the data run of given files will have; nothing once it is finished, or where none are given.

    Reads the whole file and decodes every image, or holds shards against their manifest, and writes nothing: called
    before any work begins.

    Raises:
        Refused: with the record and key of every fault, or it has too few prompts for the GRPO that needs it.
    """
    params = spec.data.parameters
    if (given := params.given) is None:
        return {}
    facts = spec.data.result or _facts_of(given, params, spec.profile.data)
    for note in facts.get("notes", ()):
        print(f"{params.data}: {note}", flush=True)  # noqa: T201  a notebook shows it
    if any(each.variant and each.variant.parent == "cot_sft" for each in spec.chain):
        _check_prompts(given, facts["counts"], spec)
    return {} if spec.data.result else facts


def _facts_of(given: Path, params: DataParameters, settings: DataSettings) -> dict[str, Any]:
    if given.is_dir():
        return {"source": params.data, **_facts_of_shards(given), "shards": str(given)}
    coco = user_coco.load(given, settings.most_pixels, params.images_folder)
    if settings.composed:
        user_coco.check_trainable(coco)
    notes = {"notes": list(coco.notes)} if coco.notes else {}
    return {"source": params.data, "counts": {"images": len(coco.images)}, "left_out": list(coco.left_out), **notes}


def _check_prompts(file_or_folder: Path, counts: Mapping[str, int], spec: RunSpec[Any]) -> None:
    """GRPO takes every prompt once; without this, it would be days until it is found that there are too few."""
    grpo = spec.grpo
    is_shards = file_or_folder.is_dir()
    prompts = shards.prompts(file_or_folder) if is_shards else counts["images"] + spec.profile.data.composed
    if prompts < grpo.steps * grpo.prompts:
        raise Refused(
            f"{file_or_folder} has {prompts:,} prompts for GRPO, whose {grpo.steps:,} steps of {grpo.prompts} take "
            f"{grpo.steps * grpo.prompts:,} distinct ones; give more data, or at most {prompts // grpo.prompts} steps: "
            "-p steps (of every stage), or `steps` in section grpo of the profile"
        )


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


def _compose(folder: Path, roots: Mapping[str, Path], spec: RunSpec[DataParameters]) -> Path:
    """Composes the training set and returns the folder of its shards; what an interrupted run has read already is not
    read again."""
    composed = folder / MG_FOLDER / mg_data.SHARDS
    if not composed.exists():
        params, settings, bars = spec.parameters, spec.profile.data, mg_data.ProgressBars()
        composition = settings.composition
        mixture = recipe.load(composition.file).scaled(composition.share * params.share).without(composition.without)
        used = {cell.source for cell in mixture.cells} if composition.without else set(roots)
        mg_data.make(
            composed.parent, {name: root for name, root in roots.items() if name in used}, mixture, params.benchmarks,
            workers=_workers(spec), embed=params.embed, most_pixels=settings.most_pixels, progress=bars,
        )  # fmt: skip
        bars.close()
    return composed


def _workers(spec: RunSpec[DataParameters]) -> int:
    return min(spec.threads, os.cpu_count() or 1)


def _of_the_world(folder: Path, held_out: dataset.Recipe, spec: RunSpec[DataParameters]) -> dict[str, Any]:
    """The world's sources in official formats, the training set composed of them, and what is held out, drawn."""
    official, settings = folder / OFFICIAL, spec.profile.data
    if not official.is_dir():
        partial = official.with_name(f"{OFFICIAL}.part")
        shutil.rmtree(partial, ignore_errors=True)
        with writing(partial):
            exported, bars = settings.composition.exported, mg_data.ProgressBars()
            sources.write(partial, held_out.seed, exported, _workers(spec), bars)
            bars.close()
        partial.replace(official)
    shards_folder = _compose(folder, {name: official / name for name in settings.composition.exported}, spec)
    shutil.rmtree(shards_folder.parent / mg_data.INDEXES, ignore_errors=True)  # made again in seconds
    composed, drawn = _facts_of_shards(shards_folder), _draw(folder, held_out, settings.benchmarks)
    trained = shards.samples(shards_folder, "sft", "train", roots=world_pictures(folder))
    return {
        **composed,
        "content": run_id({"composed": composed["content"], "drawn": drawn["content"]}),
        "counts": {"train": {**_counts(list(trained)), "stages": composed["counts"]}, **drawn["counts"]},
    }


def _facts_of_shards(folder: Path) -> dict[str, Any]:
    """What the manifest says, once every shard was held against it."""
    content = shards.verify(folder)
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
