"""What moves a run's numbers, and hence its id and its directory? All that does, and nothing else.

Quick and without torch, so that the launcher, the notebooks and the report can all derive it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from ..corpora.index import INDEX_VERSION
from ..corpora.manifest import MANIFEST
from ..corpora.sources import annotation_files
from ..files.hashing import sha256
from ..runs.directory import run_id
from ..runs.environment import library_versions
from ..runs.json_files import read_json_or_none
from . import content
from .overrides import suffix, within
from .parameters import DataParameters, EvaluateParameters, ParameterError, TrainParameters
from .paths import PACKAGE
from .variants import BASE, TRAINED

RESULTS_VERSION = 9
"""Raised by hand when code moves numbers: every run is then another run."""

SECTIONS = ("data", "sft", "cot_sft", "grpo", "evaluate")
"""Parts of a profile that move the numbers of some kinds of runs only. Every other part moves all of them."""

ONLY_TESTED_ON = ("test", "understanding_test", "shifted_test", "benchmarks")
"""Settings of the drawn data that no training sees: of `data.recipe`, and `data.benchmarks`."""

ONLY_TESTED_ON_NAMES = ("data.benchmarks", *(f"data.recipe.{name}" for name in ONLY_TESTED_ON[:-1]))
"""The same by their dotted names."""

ONLY_PROMPTS = ("prompts", "prompt_turns")
"""Settings of `data.composition` that no SFT sees."""

ONLY_PROMPTS_NAMES = tuple(f"data.composition.{name}" for name in ONLY_PROMPTS)


class SomeProfile(Protocol):
    """What a run's identity needs of a profile."""

    @property
    def name(self) -> str: ...
    @property
    def threads(self) -> Mapping[str, int]: ...
    @property
    def overrides(self) -> Mapping[str, Any]: ...
    def model_dump(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Identity:
    """A run's name and what moves its numbers.

    Attributes:
        name: for people, such as `hybrid-s0`.
        parameters: what moves its numbers, and nothing else; becomes its parameters.json.
        overrides: of the values that are not the profile's, those that move them.
    """

    name: str
    parameters: Mapping[str, Any]
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def id(self) -> str:
        """The hash of the parameters."""
        return run_id(self.parameters)

    @property
    def folder_name(self) -> str:
        """`name-id`, below the folder of all runs."""
        return f"{self.name}-{self.id}"


def threads_of(kind: str, profile: SomeProfile) -> int:
    """How many threads a run of this kind computes with: a training mode, `data` or `evaluate`; by default 1.

    They are part of the id, since they move the last bits of sums.
    """
    return profile.threads.get(kind, 1)


def data_identity(parameters: DataParameters, profile: SomeProfile) -> Identity:
    """Data that is drawn is known by the profile's settings; given files, and shards, by their content.

    Raises:
        ParameterError: nothing is given, and the profile has no data of its own.
    """
    if parameters.roots:
        return _composed(parameters, profile)
    section = profile.model_dump().get("data") or {}
    if not parameters.data and section.get("recipe", ...) is None:
        raise ParameterError(
            f"profile {profile.name} has no data of its own. Compose it from official downloads by data.ipynb "
            "(-p roots 'coco=/data/coco d3=/data/d3') and give -p data FOLDER; or give a COCO-format file: "
            "-p data FILE.json"
        )
    if (given := parameters.given) and given.is_dir():
        shards = (read_json_or_none(given / MANIFEST) or {}).get("content", "")
        moving = {"results_version": RESULTS_VERSION, "most_pixels": section.get("most_pixels"), "shards": shards}
        return _data("data", {"kind": "data", **moving}, within(profile.overrides, ["data.most_pixels"]))
    if given:
        settings = {name: section.get(name) for name in ("composed", "seed", "most_pixels")}
        moving = {
            "results_version": RESULTS_VERSION,
            "settings": settings,
            "file": content.hash_of_coco(given, parameters.images_folder),
        }
        changed = within(profile.overrides, [f"data.{name}" for name in settings])
        return _data("data", {"kind": "data", **moving}, changed)
    changed = within(profile.overrides, ["data", "threads.data"])
    return _data("data", _moving("data", ("data",), profile) | {"recipe": _recipe(section)}, changed)


def _composed(parameters: DataParameters, profile: SomeProfile) -> Identity:
    """Data composed of official files: known by the recipe, and by the content of the files that say what there is."""
    data = profile.model_dump()["data"]
    moving = {
        "kind": "data",
        "results_version": RESULTS_VERSION,
        "versions": library_versions(),
        "recipe": _recipe(data),
        "index": INDEX_VERSION,  # what the readers of the sources give
        "share": data["composition"]["share"] * parameters.share,
        "embedded": [data["most_pixels"]] if parameters.embed else [],
        "sources": {
            name: content.hash_of_files(annotation_files(name, root), root) for name, root in parameters.sources.items()
        },
        "benchmarks": {
            name: [sha256(file) if file.is_file() else "", content.hash_of_sizes(images) if images else None]
            for name, (file, images) in parameters.benchmarks.items()
        },
    }
    if without := data["composition"].get("without"):
        moving["without"] = without
    return _data("mg_data", moving, within(profile.overrides, ["data.composition", "data.most_pixels"]))


def _recipe(data: Mapping[str, Any]) -> dict[str, str]:
    composition = data.get("composition")
    return content.hash_of_recipe(PACKAGE / composition["recipe"]) if composition else {}


def trained_on(data: Identity, prompts: bool) -> str:
    """The id of what a training sees of a data run: its own, less what is only tested on, and for SFT less GRPO's
    `prompts`.

    More test samples or another export of a benchmark make another data run, and leave all trainings as they are; more
    prompts, all but those of GRPO.
    """
    settings = data.parameters.get("settings", {}).get("data")
    if settings is None:  # given or composed: all of it may be trained on
        return data.id
    seen = _without(settings, ONLY_TESTED_ON)
    if isinstance(seen.get("recipe"), dict):
        seen["recipe"] = _without(seen["recipe"], ONLY_TESTED_ON)
    if isinstance(seen.get("composition"), dict) and not prompts:
        seen["composition"] = _without(seen["composition"], ONLY_PROMPTS)
    return run_id({**data.parameters, "settings": {"data": seen}})


def tested_on(data: Identity) -> str:
    """The id of what the study's own evaluations see of a data run: its own, less the benchmarks that it exports."""
    settings = data.parameters.get("settings", {}).get("data")
    if settings is None:
        return data.id
    return run_id({**data.parameters, "settings": {"data": _without(settings, ["benchmarks"])}})


def _without(settings: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in names}


def _data(name: str, moving: Mapping[str, Any], overrides: Mapping[str, Any]) -> Identity:
    return Identity(f"{name}{suffix(overrides)}", moving, overrides)


def training_identity(
    parameters: TrainParameters, profile: SomeProfile, data: Identity, start: Identity | None
) -> Identity:
    """A training is known by its settings, its data, and the run that it starts from, or the base."""
    mode, seed = parameters.mode, parameters.seed
    variant = TRAINED[mode]
    moving = _moving(mode, variant.sections, profile) | {
        "mode": mode,
        "seed": seed,
        "steps": parameters.steps,
        "data": trained_on(data, prompts="grpo" in variant.sections),
        "prerequisites": {} if start is None else {variant.parent: start.id},
    }
    unseen = ONLY_TESTED_ON_NAMES if "grpo" in variant.sections else (*ONLY_TESTED_ON_NAMES, *ONLY_PROMPTS_NAMES)
    seen = [name for name in data.overrides if not within({name: None}, unseen)]
    overrides = _overrides(mode, variant.sections, profile) | within(data.overrides, seen)
    if start is None:
        moving["base"] = _base(profile)
        overrides |= within(profile.overrides, ["base"])
    else:
        overrides |= start.overrides
    if variant.grpo:
        moving["rollouts"] = "sampled by seed, step and row"
    return Identity(f"{mode}{suffix(overrides)}-s{seed}", moving, overrides)


def evaluation_identity(
    parameters: EvaluateParameters, profile: SomeProfile, data: Identity, training: Identity | None
) -> Identity:
    """An evaluation is known by its settings, its data and its model: a training's, a checkpoint, or the base."""
    model = _model(parameters, profile, training)
    moving = {"model": model.key, "data": tested_on(data), "samples": parameters.samples}
    if parameters.given:  # the world's answers are short
        moving["answers"] = "at least as long as the longest true one"
    seen = [name for name in data.overrides if not within({name: None}, ["data.benchmarks"])]
    overrides = {**_overrides("evaluate", ("evaluate",), profile), **within(data.overrides, seen), **model.overrides}
    moving = _moving("evaluate", ("evaluate",), profile) | moving
    return Identity(f"evaluate-{model.name}{suffix(overrides)}{model.seed}", moving, overrides)


def benchmarks_identity(
    parameters: EvaluateParameters,
    profile: SomeProfile,
    data: Identity | None,
    training: Identity | None,
    contents: Mapping[str, Any],
) -> Identity:
    """A model's answers to benchmarks, known by the model and by all that they ask: an export by its data run.

    Args:
        parameters: with benchmarks.
        profile: the scale.
        data: the data run that exports some of them; None where none does.
        training: the model's; None of the base, or of a checkpoint.
        contents: of each benchmark of the user's, what its files hold.
    """
    model = _model(parameters, profile, training)
    answered = {name: contents[name] if root else data and data.id for name, root in parameters.roots.items()}
    moving = _moving("evaluate", ("evaluate",), profile) | {
        "model": model.key,
        "benchmarks": answered,
        "most_pixels": (profile.model_dump().get("data") or {}).get("most_pixels"),
        "samples": parameters.samples,
    }
    overrides = _overrides("evaluate", ("evaluate",), profile) | within(profile.overrides, ["data.most_pixels"])
    overrides |= dict(model.overrides) | dict(data.overrides if data else {})
    what = "exports" if len(answered) > 1 and not any(parameters.roots.values()) else "-".join(answered)
    name = f"evaluate-{model.name}-{what.replace('+', 'plus')}{suffix(overrides)}{model.seed}"
    return Identity(name, moving, overrides)


class _Model(NamedTuple):
    """What is evaluated: its name, the part of a run's name that says its seed, its id or hash, and its overrides."""

    name: str
    seed: str
    key: str
    overrides: Mapping[str, Any]


def _model(parameters: EvaluateParameters, profile: SomeProfile, training: Identity | None) -> _Model:
    if parameters.checkpoint:
        name, key = content.name_and_hash_of_checkpoint(parameters.checkpoint)
        return _Model(name, "", key, {})
    if training is None:
        return _Model(BASE, "", _base(profile), within(profile.overrides, ["base"]))
    return _Model(parameters.mode, f"-s{parameters.seed}", training.id, training.overrides)


def _overrides(kind: str, sections: Sequence[str], profile: SomeProfile) -> dict[str, Any]:
    """Of the profile's overrides those that move the runs of a kind: of `sections`, and of what moves all runs."""
    elsewhere = within(profile.overrides, ["threads", "base", *set(SECTIONS).difference(sections)])
    moving = {name: value for name, value in profile.overrides.items() if name not in elsewhere}
    return moving | within(profile.overrides, [f"threads.{kind}"])


def _moving(kind: str, sections: Sequence[str], profile: SomeProfile) -> dict[str, Any]:
    """What all runs of a kind share: versions, threads, and the parts of the profile that concern them."""
    settings = json.loads(json.dumps(profile.model_dump()))  # tuples become lists, as in parameters.json
    others = {"name", "threads", "base", "watching", "loader_workers", *SECTIONS}.difference(sections)
    if settings.get("prefix_sharing"):  # what every run did before there was a choice
        others.add("prefix_sharing")
    if kind == "data":
        settings = {"data": settings.get("data")}
    return {
        "kind": kind if kind in ("data", "evaluate") else "train",
        "results_version": RESULTS_VERSION,
        "versions": library_versions(),
        "threads": threads_of(kind, profile),
        "settings": {k: v for k, v in settings.items() if k not in others},
    }


def _base(profile: SomeProfile) -> str:
    return content.hash_of_base(str(profile.model_dump().get("base") or ""))
