"""Which content do the files of a benchmark have that moves scores? They are read once, and it is remembered.

What is remembered lies with the launcher's files in the folder of all runs, by the benchmark and its root. It holds as
long as every file has the size and the time of change that it had, and this package asks and reads as it did.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from ..benchmarks.fingerprint import annotation_files, fingerprint
from ..benchmarks.interface import Benchmark
from ..benchmarks.prompts import FILE, templates_at
from ..benchmarks.registry import benchmark
from ..files.hashing import SETTLED_S, sha256
from ..files.pictures import FilePicture
from ..files.validation import Faults
from ..grounding.samples import MODES, Picture, Sample
from ..runs.directory import run_id
from ..runs.json_files import read_json_or_none, write_json
from ..runs.layout import remembered_benchmarks
from .content import hash_of_files
from .paths import PACKAGE

Reading = Literal["remember", "read", "look"]
"""Whether files are read if need be, and whether what they hold is remembered; `look`: neither, and no file is touched.
"""


def content_of(name: str, root: Path, runs: Path, reading: Reading) -> dict[str, Any] | None:
    """By mode, the hash of what a benchmark asks and is scored against, and the longest answer by its authors.

    That is of its annotations, prompts, true answers, and of the bytes of its images. None where nothing is remembered
    and nothing may be read.

    Raises:
        Refused: annotations or images are missing, or not as they should be.
    """
    memory = remembered_benchmarks(runs) / f"{name}-{run_id({'root': str(root)})}.json"
    remembered = read_json_or_none(memory) or {}
    if reading == "look":
        return remembered.get("content")
    chosen = benchmark(name)
    annotations = chosen.annotations(root)
    key = {"code": _code(), "annotations": str(annotations)}
    if remembered.get("key") == key and remembered["settled"] and remembered["files"] == _states(remembered["files"]):
        return dict(remembered["content"])
    files, content = _read(chosen, annotations, root)
    if reading == "remember":
        states = _states([str(file) for file in files])
        latest = max((state[1] for state in states.values() if state), default=0)
        settled = time.time() - latest / 1e9 > SETTLED_S
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_json(memory, {"key": key, "settled": settled, "files": states, "content": content})
    return content


def _read(chosen: Benchmark[Any, Any], annotations: Path, root: Path) -> tuple[list[Path], dict[str, Any]]:
    """Every file that matters, there or not, and the content by mode."""
    templates = templates_at(root)
    data = chosen.load(annotations)
    by_mode = {mode: chosen.samples(data, mode, templates) for mode in MODES}
    files = [*annotation_files(annotations), (root if root.is_dir() else root.parent) / FILE]
    pictures = _picture_files(annotations, by_mode["direct"])
    digest = fingerprint(chosen.name, annotations, {}).sha256
    return [*files, *pictures], {
        mode: {
            "asked": run_id({"annotations": digest, "samples": [_row(sample) for sample in samples]}),
            "max_new_tokens": chosen.max_new_tokens(mode, templates),
        }
        for mode, samples in by_mode.items()
    }


def _picture_files(annotations: Path, samples: Sequence[Sample]) -> list[Path]:
    """The image files of the samples, each once; refuses them if any is missing."""
    faults = Faults(annotations)
    files: dict[Path, None] = {}
    for sample in samples:
        for picture in sample.pictures:
            if isinstance(picture, FilePicture) and (file := picture.root / picture.path) not in files:
                files[file] = None
                if not file.is_file():
                    faults.add(sample.id, f"there is no image {file}")
    faults.refuse()
    return list(files)


def _row(sample: Sample) -> list[Any]:
    targets = [[target.picture, *target.box] for target in sample.targets]
    pictures = [*map(_picture, sample.pictures)]
    return [sample.id, sample.prompt or sample.query, sample.choice, targets, pictures]


def _picture(picture: Picture) -> str:
    """An image file by its content; an image within a table by its place, since the table's hash is there."""
    if isinstance(picture, FilePicture):
        return sha256(picture.root / picture.path)
    return repr([getattr(picture, name, None) for name in ("group", "row", "column", "position")])


def _states(files: Sequence[str] | Mapping[str, Any]) -> dict[str, list[int] | None]:
    """Size and time of change of every file; None of one that is not there."""
    states: dict[str, list[int] | None] = {}
    for file in files:
        try:
            status = Path(file).stat()
            states[file] = [status.st_size, status.st_mtime_ns]
        except FileNotFoundError:
            states[file] = None
    return states


@lru_cache(maxsize=1)
def _code() -> str:
    """What asks and reads: the benchmarks' part of this package."""
    folder = PACKAGE / "benchmarks"
    return hash_of_files([*sorted(folder.rglob("*.py")), *sorted(folder.rglob("*.yaml"))], folder)
