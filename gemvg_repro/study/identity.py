"""Which run is meant: what moves its numbers, hence its id and its directory?

Quick and without torch, so that the launcher, the notebooks and the report can all ask.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from .parameters import (
    DataParameters,
    EvaluateParameters,
    Parameters,
    TrainMode,
    TrainParameters,
    resolve,
)
from .profiles import load_profile
from .runs import library_versions, read_json, run_id

RESULTS_VERSION = 2
"""Raised by hand when code moves numbers: every run is then another run."""

CONTINUES: Mapping[TrainMode, TrainMode | None] = {
    "sft": None,
    "cot_sft": "sft",
    "cot": "cot_sft",
    "direct": "cot_sft",
    "hybrid": "cot_sft",
}
"""The training that each mode goes on from; None: from the base."""

SECTIONS = ("data", "sft", "cot_sft", "grpo", "evaluate")
"""Parts of a profile that move the numbers of one kind of run only. Every other part moves all of them."""

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
        return _data(parameters.data, profile)
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
    """Data that is made is known by the profile's settings, data that is given by its content."""
    if data:
        return Identity(
            "data", {"kind": "data", "results_version": RESULTS_VERSION, "file": _annotations(resolve(data))}
        )
    return Identity("data", _moving("data", "data", profile))


def _training(parameters: TrainParameters, profile: SomeProfile) -> Identity:
    mode, seed = parameters.mode, parameters.seed
    data = _data(parameters.data, profile)
    earlier = CONTINUES[mode]
    start = data if earlier is None else _training(parameters.model_copy(update={"mode": earlier}), profile)
    moving = _moving(mode, "grpo" if earlier == "cot_sft" else mode, profile) | {
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
    data = _data(parameters.data, profile)
    training = _training(parameters.training, profile)
    name, model, needs = training.name, training.id, [training, data]
    if parameters.benchmark:
        return _benchmark(parameters, profile)
    if parameters.checkpoint:
        name, model = _checkpoint(resolve(parameters.checkpoint))
        needs = [data]
    moving = _moving("evaluate", "evaluate", profile) | {
        "model": model,
        "data": data.id,
        "samples": parameters.samples,
    }
    return Identity(f"evaluate-{name}", moving, tuple(needs))


def _benchmark(parameters: EvaluateParameters, profile: SomeProfile) -> Identity:
    """A checkpoint's answers to a published benchmark, whose files are known as `_files` says."""
    model, key = _checkpoint(resolve(parameters.checkpoint))
    moving = _moving("evaluate", "evaluate", profile) | {
        "model": key,
        "benchmark": parameters.benchmark,
        "mode": parameters.mode,
        "files": _files(resolve(parameters.root)),
        "asking": _hash(_PACKAGE / "benchmarks" / "asking.yaml"),
    }
    name = f"evaluate-{model}-{parameters.benchmark.replace('+', 'plus')}-{parameters.mode}"
    return Identity(name, moving)


def _files(root: Path) -> str:
    """Annotation files by content, all others by name and size: quick even where they are many."""
    found = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())
    annotations = (".json", ".parquet", ".p", ".yaml")
    named = [(path.relative_to(root.parent).as_posix(), path) for path in found]
    return run_id({n: _hash(path) if path.suffix in annotations else path.stat().st_size for n, path in named})


def _moving(kind: str, section: str, profile: SomeProfile) -> dict[str, Any]:
    """What all runs of a kind share: versions, threads, and the parts of the profile that concern them."""
    settings = json.loads(json.dumps(profile.model_dump()))  # tuples become lists, as in parameters.json
    others = {"name", "threads", "base", *SECTIONS} - {section}
    if section == "data":
        settings = {"data": settings.get("data")}
    return {
        "kind": kind if section in ("data", "evaluate") else "train",
        "results_version": RESULTS_VERSION,
        "versions": library_versions(),
        "threads": threads_of(kind, profile),
        "settings": {k: v for k, v in settings.items() if k not in others},
    }


def _base(profile: SomeProfile) -> str:
    """The weights that training starts from: the hash of a file of this package, or the profile's name."""
    base = profile.model_dump().get("base") or ""
    weights = _PACKAGE / str(base) / "model.safetensors"
    return f"sha256:{_hash(weights)}" if base and weights.is_file() else str(base)


def _checkpoint(folder: Path) -> tuple[str, str]:
    """Name and id of a model: its run's, or those of its weights."""
    for run in (folder, folder.parent):
        if (known := read_json(run / "parameters.json")) is not None:
            return run.name.removesuffix(f"-{known['id']}"), str(known["id"])
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise FileNotFoundError(f"{folder} is neither a run directory nor has it any *.safetensors")
    name = re.sub(r"[^a-z0-9_.-]+", "-", folder.name.lower()).strip("-.")
    return name or "checkpoint", run_id({file.name: _hash(file) for file in weights})


def _annotations(file: Path) -> dict[str, str]:
    """A COCO-format file by its content, its images by name and size: quick even where they are many."""
    try:
        names = sorted(str(image["file_name"]) for image in json.loads(file.read_bytes())["images"])
    except (ValueError, KeyError, TypeError):
        names = []  # the reader of the data says what is wrong with the file
    sizes = [(name, image.stat().st_size) for name in names if (image := file.parent / name).is_file()]
    return {"annotations": _hash(file), "images": run_id({"sizes": sizes})}


def _hash(file: Path) -> str:
    status = file.stat()
    return _hash_of(file, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _hash_of(file: Path, size: int, modified_ns: int) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
