"""Which folder do the images of an annotation file lie in, where they do not lie beside it?

Annotation tools write paths relative to a folder that the file does not name: COCO, DETR and YOLOX to `train2017/`
beside `annotations/`, CVAT to `images/`, Roboflow to the file's own folder or `images/` below it, labelme to its own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from .validation import Refused, leaves_folder

_PROBED = 32  # images of a file: enough to tell folders apart, and few enough to look for in each
_MAX_FOLDERS = 500
_USUAL = {"images", "jpegimages", "imgs", "img", "data"}
_ANNOTATIONS = {"annotations", "annotation", "labels", "label", "anns", "ann", "json", "instances", "coco"}
_VALIDATION = {"val", "valid", "validation", "minival"}
_SPLITS = {"train", "test", "dev", *_VALIDATION}


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """The folder that the paths of a file are relative to, and all folders that were searched for it.

    `paths` has each of the file's paths as it is found in the folder, with forward slashes.
    """

    path: Path
    searched: tuple[Path, ...]
    paths: Mapping[str, str]

    @property
    def message(self) -> str:
        """Where images were looked for; for a file some of whose images are missing."""
        return f"images were looked for in {_listed(self.searched)}; if they lie elsewhere: -p images FOLDER"


def find(file: Path, names: Sequence[str], images: Path | None = None) -> ImageFolder:
    """The folder with the most of a file's first images; of several, its own, the one named most like it, the highest.

    `names` are the paths of the images as the file has them. The folder `images` is taken as it is.
    Raises Refused where several folders whose names say nothing have as many.
    """
    folder, searched = (images, (images,)) if images is not None else _search(file, names)
    return ImageFolder(folder, searched, {name: _as_posix(name, folder) for name in names})


def _search(file: Path, names: Sequence[str]) -> tuple[Path, tuple[Path, ...]]:
    """The folder, and all that were searched."""
    probes = [name for name in names if not leaves_folder(name)][:_PROBED]
    if _count(probes, file.parent) == len(probes):
        return file.parent, (file.parent,)
    unique = {
        folder.resolve(): (rank, folder) for rank, folder in sorted(islice(_near(file), _MAX_FOLDERS), reverse=True)
    }
    ranked = sorted(unique.values())
    searched = tuple(folder for _, folder in ranked)
    counts = [_count(probes, folder) for folder in searched]
    highest = max(counts)
    if not highest:
        return file.parent, searched
    best = [pair for pair, count in zip(ranked, counts, strict=True) if count == highest]
    equal = [folder for rank, folder in best if rank == best[0][0]]
    if len(equal) > 1:
        raise Refused(f"{file}: its images can be those of {_listed(equal)}; say which: -p images {equal[0]}")
    return equal[0], searched


def _count(names: Sequence[str], folder: Path) -> int:
    return sum(_is_file(folder / _as_posix(name, folder)) for name in names)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False


def _listed(folders: Sequence[Path]) -> str:
    more = f" and {len(folders) - 8} more" if len(folders) > 8 else ""
    return ", ".join(map(str, folders[:8])) + more


def _as_posix(name: str, folder: Path) -> str:
    """A path as tools on Windows write it, with forward slashes, unless a file has that very name."""
    return name.replace("\\", "/") if "\\" in name and not _is_file(folder / name) else name


def _near(file: Path) -> Iterator[tuple[tuple[int, int], Path]]:
    """Folders near an annotation file. Each has a rank by what its name says, 0 for the file's own, then its depth."""
    own = file.parent
    words = _words(file.stem) | (_words(own.name) & _SPLITS)
    words |= _VALIDATION if words & _VALIDATION else set()
    set_folders = [own.parent] if own.name.lower() in {*_ANNOTATIONS, *_SPLITS} else []
    yield from (((0, 0), own), *(((3, 0), folder) for folder in set_folders))
    for top in (own, *set_folders):
        for folder in _below(top):
            parts = folder.relative_to(top).parts
            named = {word for part in parts for word in _words(part)}
            if named & words:
                yield (1, len(parts)), folder
            elif named & _SPLITS and words & _SPLITS:  # those of another split
                continue
            elif folder.name.lower() in _USUAL:
                yield (2, len(parts)), folder
            else:
                yield (4, len(parts)), folder


def _words(name: str) -> set[str]:
    parts = re.split(r"[^a-z0-9]+", name.lower())
    return {word for part in parts if part for word in (part, part.rstrip("0123456789")) if word}


def _below(top: Path) -> Iterator[Path]:
    """Folders up to two levels below, in order of their names."""
    folders = _folders(top)
    yield from folders
    for folder in folders[:_MAX_FOLDERS]:
        yield from _folders(folder)


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(e.path) for e in entries if not e.name.startswith(".") and e.is_dir())
    except OSError:
        return []
