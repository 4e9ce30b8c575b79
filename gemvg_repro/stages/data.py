"""How is a data run made? From the world's sources, from official ones, or by checking a given file."""

from __future__ import annotations

import math
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
from ..runs.layout import WORLD_FILE
from ..runs.progress import ProgressPrinter
from ..study.parameters import DataParameters
from ..study.profiles import DataSettings
from ..study.spec import RunSpec
from .samples import BENCHMARKS, MG_FOLDER, OFFICIAL, PROMPTS, world_pictures


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
            composed = _compose(run.folder, params.sources, _mixture(spec), spec)
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
    params, prompts = spec.data.parameters, spec.profile.data.composition.prompts
    if (given := params.given) is None:
        if prompts and any(each.variant and each.variant.parent == "cot_sft" for each in spec.chain):
            _check_prompts("the profile's data.composition", prompts, spec)
        return {}
    facts = spec.data.result or _facts_of(given, params, spec.profile.data)
    for note in facts.get("notes", ()):
        print(f"{params.data}: {note}", flush=True)  # noqa: T201  a notebook shows it
    if any(each.variant and each.variant.parent == "cot_sft" for each in spec.chain):
        of_file = facts.get("counts", {}).get("images", 0) + spec.profile.data.composed
        _check_prompts(given, shards.prompts(given) if given.is_dir() else of_file, spec)
    return {} if spec.data.result else facts


def _facts_of(given: Path, params: DataParameters, settings: DataSettings) -> dict[str, Any]:
    if given.is_dir():
        return {"source": params.data, **_facts_of_shards(given), "shards": str(given)}
    coco = user_coco.load(given, settings.most_pixels, params.images_folder)
    if settings.composed:
        user_coco.check_trainable(coco)
    notes = {"notes": list(coco.notes)} if coco.notes else {}
    return {"source": params.data, "counts": {"images": len(coco.images)}, "left_out": list(coco.left_out), **notes}


def _check_prompts(source: Path | str, prompts: int, spec: RunSpec[Any]) -> None:
    """GRPO takes every prompt once; without this, it would be days until it is found that there are too few."""
    grpo = spec.grpo
    if prompts < grpo.steps * grpo.prompts:
        raise Refused(
            f"{source} has {prompts:,} prompts for GRPO, whose {grpo.steps:,} steps of {grpo.prompts} take "
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


def _mixture(spec: RunSpec[DataParameters]) -> recipe.CompositionRecipe:
    composition = spec.profile.data.composition
    mixture = recipe.load(composition.file).scaled(composition.share * spec.parameters.share)
    return mixture.without(composition.without)


def _compose(
    folder: Path, roots: Mapping[str, Path], mixture: recipe.CompositionRecipe, spec: RunSpec[DataParameters]
) -> Path:
    """Composes a training set and returns the folder of its shards; what an interrupted run has read already is not
    read again."""
    composed = folder / MG_FOLDER / mg_data.SHARDS
    if not composed.exists():
        params, settings, bars = spec.parameters, spec.profile.data, mg_data.ProgressBars()
        used = {cell.source for cell in mixture.cells} if settings.composition.without else set(roots)
        mg_data.make(
            composed.parent, {name: root for name, root in roots.items() if name in used}, mixture, params.benchmarks,
            workers=_workers(spec), embed=params.embed, most_pixels=settings.most_pixels, progress=bars,
        )  # fmt: skip
        bars.close()
    return composed


def _workers(spec: RunSpec[DataParameters]) -> int:
    return min(spec.threads, os.cpu_count() or 1)


def _of_the_world(folder: Path, held_out: dataset.Recipe, spec: RunSpec[DataParameters]) -> dict[str, Any]:
    """The world's sources in official formats, the training set composed of them, and what is held out, drawn.

    Where the profile says how many prompts GRPO has, these are composed in the same way, about other pictures.
    """
    composition, mixture = spec.profile.data.composition, _mixture(spec)
    number, training = composition.prompts, mixture.supervised() if composition.prompts else mixture
    composed = _of_sources(folder, held_out.seed, composition.exported, training, spec)
    contents, stages = {"composed": composed["content"]}, composed["counts"]
    if number:
        share = number / sum(cell.count for cell in training.cells)
        pictures = {name: math.ceil(share * count) for name, count in composition.exported.items()}
        of_grpo = mixture.prompts(number, composition.prompt_turns)
        prompts = _of_sources(folder / PROMPTS, f"{PROMPTS}/{held_out.seed}", pictures, of_grpo, spec)
        contents[PROMPTS], stages = prompts["content"], {**stages, "grpo": prompts["counts"]["grpo"]}
    drawn = _draw(folder, held_out, spec.profile.data.benchmarks)
    trained = shards.samples(folder / MG_FOLDER / mg_data.SHARDS, "sft", "train", roots=world_pictures(folder))
    return {
        **composed,
        "content": run_id({**contents, "drawn": drawn["content"]}),
        "counts": {"train": {**_counts(list(trained)), "stages": stages}, **drawn["counts"]},
    }


def _of_sources(
    folder: Path, seed: int | str, pictures: Mapping[str, int], mixture: recipe.CompositionRecipe,
    spec: RunSpec[DataParameters],
) -> dict[str, Any]:  # fmt: skip
    """Draws so many pictures of each of the world's sources into a folder, and composes shards of them there."""
    official = folder / OFFICIAL
    if not official.is_dir():
        partial = official.with_name(f"{OFFICIAL}.part")
        shutil.rmtree(partial, ignore_errors=True)
        with writing(partial):
            bars = mg_data.ProgressBars()
            sources.write(partial, seed, pictures, _workers(spec), bars)
            bars.close()
        partial.replace(official)
    composed = _compose(folder, {name: official / name for name in pictures}, mixture, spec)
    shutil.rmtree(composed.parent / mg_data.INDEXES, ignore_errors=True)  # made again in seconds
    return _facts_of_shards(composed)


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
