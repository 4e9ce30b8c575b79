"""Which content do files have that move a run's numbers? By hash, wherever they lie."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from ..corpora import recipe
from ..corpora.user_coco import READER_VERSION
from ..files import image_folder
from ..files.hashing import sha256
from ..models.families import family_of_folder
from ..runs.directory import parameters_of, run_id
from ..runs.layout import MODEL
from .hub import cached, checkpoint_folder, commit_of, is_hub_name
from .paths import PACKAGE

_READ = (".safetensors", ".json", ".txt", ".jinja")
"""Of a folder of weights: model, tokenizer, image processor and chat template are read from these."""


def hash_of_files(files: Iterable[Path], root: Path) -> str:
    """Files below a root, by name and content; those that are missing are left out."""
    return run_id({path.relative_to(root).as_posix(): sha256(path) for path in files if path.is_file()})


def hash_of_folder(folder: Path) -> str:
    """All files of a folder, by name and content."""
    return hash_of_files(sorted(folder.rglob("*")), folder)


def hash_of_sizes(folder: Path) -> str:
    """All files of a folder by name and size: for images, of which there may be gigabytes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return run_id({path.relative_to(folder).as_posix(): path.stat().st_size for path in files})


def hash_of_coco(file: Path, images: Path | None = None) -> dict[str, str | int]:
    """A COCO-format file and its images, by content; they lie in the folder `images`, or where they are found.

    Raises:
        Refused: several folders can be that of the images.
    """
    try:
        names = sorted(str(image["file_name"]) for image in json.loads(file.read_bytes())["images"])
    except (ValueError, KeyError, TypeError, RecursionError):
        names = []  # the reader of the data says what is wrong with the file
    folder = image_folder.find(file, names, images)
    hashes = {name: sha256(path) for name in names if (path := folder.path / folder.paths[name]).is_file()}
    return {"annotations": sha256(file), "images": run_id(hashes), "reader": READER_VERSION}


def hash_of_recipe(file: Path) -> dict[str, str]:
    """The recipe that a training set is composed by, and its wording, by their paths in the package."""
    wording = _wording_of(file, file.stat().st_mtime_ns)
    return {path.relative_to(PACKAGE).as_posix(): sha256(path) for path in (file, wording)}


@lru_cache(maxsize=16)
def _wording_of(file: Path, modified_ns: int) -> Path:
    return recipe.load(file).wording


def hash_of_base(base: str) -> str:
    """What training starts from: the hash of a folder's content, or a hub's name and commit.

    In SHA256SUMS, which `models.checkpoints.check` compares, stand the hashes of the files of the package's own base.

    Raises:
        Refused: its config.json, if it is here, is of no supported family: no run of the study could begin.
    """
    folder = PACKAGE / base
    here = folder if folder.is_dir() else cached(base) if is_hub_name(base) else None
    if here is not None and (here / "config.json").is_file():
        family_of_folder(here)
    if is_hub_name(base) and not folder.is_dir():
        return f"{base}@{commit_of(base)}"
    if not base or not folder.is_dir():
        return base
    sums = folder / "SHA256SUMS"
    return f"sha256:{sha256(sums) if sums.is_file() else hash_of_folder(folder)}"


def name_and_hash_of_checkpoint(checkpoint: str) -> tuple[str, str]:
    """Name and id of a model: its run's, those of its weights, or its commit on the hub.

    Whether the weights are whole is for `stages.weights` to say, before any work.

    Raises:
        RunError: it is a run directory whose parameters.json was edited.
    """
    folder = checkpoint_folder(checkpoint)
    if is_hub_name(checkpoint):
        return _slug(checkpoint.partition("/")[2]), f"{checkpoint}@{folder.name}"
    run = folder.parent if folder.name == MODEL else folder
    if (moving := parameters_of(run)) is not None:
        return run.name.removesuffix(f"-{run_id(moving)}"), run_id(moving)
    files = [path for path in sorted(folder.iterdir()) if path.suffix in _READ and path.is_file()]
    return _slug(folder.name), hash_of_files(files, folder)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9_.-]+", "-", name.lower()).strip("-.") or "checkpoint"
