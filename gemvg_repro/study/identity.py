"""Which run is meant: what moves its numbers, hence its id and its directory?

Quick and without torch, so that the launcher, the notebooks and the report can all ask.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from ..benchmarks.fingerprint import fingerprint
from ..benchmarks.prompts import templates_at
from ..benchmarks.registry import benchmark
from ..corpora import recipe
from ..corpora.manifest import MANIFEST
from ..corpora.sources import annotation_files
from ..files.hashing import sha256
from ..files.pictures import FilePicture
from ..grounding.samples import Mode, Picture
from ..runs.directory import parameters_of, run_id
from ..runs.environment import library_versions
from ..runs.json_files import read_json_or_none
from ..runs.layout import MODEL
from .hub import checkpoint_folder, commit_of
from .parameters import DataParameters, EvaluateParameters, Parameters, TrainMode, TrainParameters, is_hub_name, resolve
from .profiles import load_profile

RESULTS_VERSION = 9
"""Raised by hand when code moves numbers: every run is then another run."""

CONTINUES: Mapping[TrainMode, TrainMode | None] = {
    "sft": None,
    "cot_sft": "sft",
    "cot": "cot_sft",
    "direct": "cot_sft",
    "hybrid": "cot_sft",
    "sft_more": "cot_sft",
    "joint": "cot_sft",
    "shuffled": "cot_sft",
    "token": "cot_sft",
}
"""The training that each mode goes on from; None: from the base."""

SECTIONS = ("data", "sft", "cot_sft", "grpo", "evaluate")
"""Parts of a profile that move the numbers of some kinds of runs only. Every other part moves all of them."""

_TRAINED_BY: Mapping[TrainMode, tuple[str, ...]] = {
    "sft": ("sft",),
    "cot_sft": ("cot_sft",),
    "sft_more": ("cot_sft", "grpo"),  # it costs what GRPO costs
}
_GRPO = ("grpo", "evaluate")
"""The sections that move a training; those of GRPO draw answers as evaluations do, before and after it."""

_READ = (".safetensors", ".json", ".txt", ".jinja")
"""Of a folder of weights: model, tokenizer, image processor and chat template are read from these."""

_PACKAGE = Path(__file__).resolve().parents[1]


class SomeProfile(Protocol):
    """What a run's identity needs of a profile."""

    @property
    def name(self) -> str: ...
    @property
    def threads(self) -> Mapping[str, int]: ...
    def model_dump(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Identity:
    """A run, before it exists.

    Attributes:
        name: for people, such as `hybrid-s0`.
        parameters: what moves its numbers, and nothing else; becomes its parameters.json.
        prerequisites: the runs that must be finished first.
    """

    name: str
    parameters: Mapping[str, Any]
    prerequisites: tuple[Identity, ...] = ()

    @property
    def id(self) -> str:
        """The hash of the parameters."""
        return run_id(self.parameters)

    @property
    def folder_name(self) -> str:
        """`name-id`, below the folder of all runs."""
        return f"{self.name}-{self.id}"


def identify(parameters: Parameters, profile: SomeProfile | None = None) -> Identity:
    """The identity of the run that a notebook with these parameters makes, and those of its prerequisites."""
    profile = profile or load_profile(parameters.profile)
    if isinstance(parameters, DataParameters):
        return _composed(parameters, profile) if parameters.roots else _data(parameters.data, profile)
    if isinstance(parameters, TrainParameters):
        return _training(parameters, profile)
    if isinstance(parameters, EvaluateParameters):
        return _evaluation(parameters, profile)
    raise TypeError(f"{parameters.notebook} makes no run: it only reads them")


def locate(parameters: Parameters) -> Path:
    """The run directory of a notebook with these parameters, whether it exists or not."""
    return parameters.runs_folder / identify(parameters).folder_name


def threads_of(kind: str, profile: SomeProfile) -> int:
    """How many threads a run of this kind computes with: a training mode, `data` or `evaluate`; by default 1.

    They are part of the id, since they move the last bits of sums.
    """
    return profile.threads.get(kind, 1)


def _data(data: str, profile: SomeProfile) -> Identity:
    """Data that is drawn is known by the profile's settings, data that is given by its content."""
    section = profile.model_dump().get("data") or {}
    if data and resolve(data).is_dir():
        content = (read_json_or_none(resolve(data) / MANIFEST) or {}).get("content", "")
        known = {"results_version": RESULTS_VERSION, "most_pixels": section.get("most_pixels"), "shards": content}
        return Identity("data", {"kind": "data", **known})
    if data:
        settings = {name: section.get(name) for name in ("composed", "seed", "most_pixels")}
        known = {"results_version": RESULTS_VERSION, "settings": settings, "file": _annotations(resolve(data))}
        return Identity("data", {"kind": "data", **known})
    return Identity("data", _moving("data", ("data",), profile) | {"recipe": _recipe(profile)})


def _recipe(profile: SomeProfile) -> dict[str, str]:
    """The hashes of the recipe that the profile's training sets are composed by, and of its words."""
    composition = (profile.model_dump().get("data") or {}).get("composition")
    if not composition:
        return {}
    file = _PACKAGE / composition["recipe"]
    words = _words_of(file, file.stat().st_mtime_ns)
    return {path.relative_to(_PACKAGE).as_posix(): sha256(path) for path in (file, words)}


@lru_cache(maxsize=16)
def _words_of(file: Path, modified_ns: int) -> Path:
    return recipe.load(file).wording


def _composed(parameters: DataParameters, profile: SomeProfile) -> Identity:
    """Data composed of official files: known by the recipe, and by the content of the files that say what there is."""
    data = profile.model_dump()["data"]
    moving = {
        "kind": "data",
        "results_version": RESULTS_VERSION,
        "versions": library_versions(),
        "recipe": _recipe(profile),
        "share": data["composition"]["share"] * parameters.share,
        "embedded": [data["most_pixels"]] if parameters.embed else [],
        "sources": {name: _contents(annotation_files(name, root), root) for name, root in parameters.sources.items()},
        "benchmarks": {
            name: [sha256(file) if file.is_file() else "", _sizes(images) if images else None]
            for name, (file, images) in parameters.benchmarks.items()
        },
    }
    return Identity("mg_data", moving)


def _contents(files: Iterable[Path], root: Path) -> str:
    """Files below a root, by content; those that are not there are left out."""
    return run_id({path.relative_to(root).as_posix(): sha256(path) for path in files if path.is_file()})


def _sizes(folder: Path) -> str:
    """Pictures, of which there may be gigabytes, by name and size."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return run_id({path.relative_to(folder).as_posix(): path.stat().st_size for path in found})


def _training(parameters: TrainParameters, profile: SomeProfile) -> Identity:
    mode, seed = parameters.mode, parameters.seed
    data = _data(parameters.data, profile)
    earlier = CONTINUES[mode]
    start = data if earlier is None else _training(parameters.model_copy(update={"mode": earlier}), profile)
    moving = _moving(mode, _TRAINED_BY.get(mode, _GRPO), profile) | {
        "mode": mode,
        "seed": seed,
        "steps": parameters.steps,
        "data": data.id,
        "prerequisites": {} if earlier is None else {earlier: start.id},
    }
    if earlier is None:
        moving["base"] = _base(profile)
    return Identity(f"{mode}-s{seed}", moving, tuple({start.id: start, data.id: data}.values()))


def _evaluation(parameters: EvaluateParameters, profile: SomeProfile) -> Identity:
    if parameters.benchmark:
        return _benchmark(parameters, profile)
    data = _data(parameters.data, profile)
    needs = [data]
    if parameters.checkpoint:
        name, model = _checkpoint(parameters.checkpoint)
    elif parameters.training is None:
        name, model = "base", _base(profile)
    else:
        training = _training(parameters.training, profile)
        name, model, needs = training.name, training.id, [training, data]
    moving = _moving("evaluate", ("evaluate",), profile) | {
        "model": model,
        "data": data.id,
        "samples": parameters.samples,
    }
    return Identity(f"evaluate-{name}", moving, tuple(needs))


def _benchmark(parameters: EvaluateParameters, profile: SomeProfile) -> Identity:
    """A checkpoint's answers to a published benchmark, known by all that determines them."""
    model, key = _checkpoint(parameters.checkpoint)
    moving = _moving("evaluate", ("evaluate",), profile) | {
        "model": key,
        "benchmark": parameters.benchmark,
        "mode": parameters.mode,
        "most_pixels": (profile.model_dump().get("data") or {}).get("most_pixels"),
        "asked": _asked(
            parameters.benchmark, resolve(parameters.root), "cot" if parameters.mode == "cot" else "direct"
        ),
    }
    name = f"evaluate-{model}-{parameters.benchmark.replace('+', 'plus')}-{parameters.mode}"
    return Identity(name, moving)


def _asked(name: str, root: Path, mode: Mode) -> str:
    """What a benchmark asks and is scored against: annotations, prompts, true answers, and the pictures' bytes."""
    chosen = benchmark(name)
    file = chosen.annotations(root)
    samples = chosen.samples(chosen.load(file), mode, templates_at(root))
    rows = [
        [s.id, s.prompt or s.query, s.choice, [[t.picture, *t.box] for t in s.targets], [*map(_picture, s.pictures)]]
        for s in samples
    ]
    return run_id({"annotations": fingerprint(name, file, {}).sha256, "samples": rows})


def _picture(picture: Picture) -> str:
    """A picture's file by its content; one within a table is known by its place, since the table's hash is there."""
    if not isinstance(picture, FilePicture):
        return repr([getattr(picture, name, None) for name in ("group", "row", "column", "position")])
    file = picture.root / picture.path
    return sha256(file) if file.is_file() else "missing"


def _files(folder: Path) -> str:
    """All files of a folder, by content."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return run_id({path.relative_to(folder).as_posix(): sha256(path) for path in found})


def _moving(kind: str, sections: Sequence[str], profile: SomeProfile) -> dict[str, Any]:
    """What all runs of a kind share: versions, threads, and the parts of the profile that concern them."""
    settings = json.loads(json.dumps(profile.model_dump()))  # tuples become lists, as in parameters.json
    others = {"name", "threads", "base", *SECTIONS}.difference(sections)
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
    """What training starts from: the hash of a folder's content, or a hub's name and commit.

    In SHA256SUMS, which `models.checkpoints.check` compares, stand the hashes of the files of the package's own base.
    """
    base = str(profile.model_dump().get("base") or "")
    folder = _PACKAGE / base
    if is_hub_name(base) and not folder.is_dir():
        return f"{base}@{commit_of(base)}"
    if not base or not folder.is_dir():
        return base
    sums = folder / "SHA256SUMS"
    return f"sha256:{sha256(sums) if sums.is_file() else _files(folder)}"


def _checkpoint(given: str) -> tuple[str, str]:
    """Name and id of a model: its run's, those of its weights, or its commit on the hub."""
    folder = checkpoint_folder(given)
    if is_hub_name(given):
        return _slug(given.partition("/")[2]), f"{given}@{folder.name}"
    run = folder.parent if folder.name == MODEL else folder
    if (known := parameters_of(run)) is not None:
        return run.name.removesuffix(f"-{run_id(known)}"), run_id(known)
    files = [path for path in sorted(folder.iterdir()) if path.suffix in _READ and path.is_file()]
    if not any(path.suffix == ".safetensors" for path in files):
        raise FileNotFoundError(f"{folder} is neither a run directory nor has it any *.safetensors")
    return _slug(folder.name), run_id({file.name: sha256(file) for file in files})


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9_.-]+", "-", name.lower()).strip("-.") or "checkpoint"


def _annotations(file: Path) -> dict[str, str]:
    """A COCO-format file and its images, by content."""
    try:
        names = sorted(str(image["file_name"]) for image in json.loads(file.read_bytes())["images"])
    except (ValueError, KeyError, TypeError, RecursionError):
        names = []  # the reader of the data says what is wrong with the file
    images = {name: sha256(image) for name in names if (image := file.parent / name).is_file()}
    return {"annotations": sha256(file), "images": run_id(images)}
