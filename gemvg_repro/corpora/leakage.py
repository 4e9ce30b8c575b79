"""Which frames occur in a benchmark? Matched by file name, by the source's image id, and by perceptual hash.

A file name counts if it has at least eight characters: "1.jpg" and "00001.jpg" name a picture in every other folder.
An id is COCO's 12-digit number, whatever stands around it (RefCOCO, MC-Bench and COCO itself write it differently), or
a Flickr number in a URL. Copies under other names are found by their pixels (image_hashes.py).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..files import pickles
from ..files.validation import Refused, read_json
from .image_hashes import ONE_COLOUR, UNREADABLE, Hashes, Place, hash_pictures, near_duplicates
from .index import Index
from .index_builder import exclude, note
from .readers import fields
from .readers.fields import Folder

_LEAST_NAME = 8


def identifiers(path: str) -> set[str]:
    """The identifiers of an image in its path or URL: "name:...", "coco:..." and "flickr:..."."""
    stem = path.replace("\\", "/").rpartition("/")[2].rpartition(".")[0].lower()
    ids = {f"coco:{int(digits)}" for digits in re.findall(r"(?<!\d)(\d{12})(?!\d)", stem)}
    if "flickr" in path and (flickr := fields.flickr(path)):
        ids.add(flickr)
    return ids | ({f"name:{stem}"} if len(stem) >= _LEAST_NAME else set())


def benchmark_paths(file: Path) -> list[str]:
    """The image paths that a benchmark's annotation names, and Flickr's URLs of them.

    COCO-like JSON (MC-Bench, ODINW, RefCOCO's instances.json): `images[].file_name` and, where there is one,
    `images[].flickr_url`, by which a picture is known whatever its file is called. A JSON list (MIG-Bench):
    `[].images[]`. RefCOCO's refs(...).p: `[].file_name` of all refs but those for training. Raises Refused.
    """
    content = pickles.load(file) if file.suffix == ".p" else read_json(file)
    urls: list[object] = []
    if isinstance(content, dict):
        records = [r for r in _listed(content.get("images")) if isinstance(r, dict)]
        names, urls = [r.get("file_name") for r in records], [r.get("flickr_url") for r in records]
    elif isinstance(content, list):
        records = [r for r in content if isinstance(r, dict) and r.get("split") != "train"]
        names = [n for r in records for n in (*_listed(r.get("images")), r.get("file_name"))]
    else:
        names = []
    paths = [name for name in names if isinstance(name, str)]
    if not paths:
        raise Refused(f"{file} names no images; expected `images[].file_name`, or a list with `images` or `file_name`")
    return paths + [url for url in urls if isinstance(url, str) and url]


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def matches_by_name(index: Index, benchmarks: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Ids of frames that share an identifier with a path of a benchmark, by the benchmark's name."""
    marks = {name: {m for path in paths for m in identifiers(path)} for name, paths in benchmarks.items()}
    ids: dict[str, list[str]] = {name: [] for name in benchmarks}
    for n in index.numbers().tolist():
        frame = index.frame(n)
        own = identifiers(frame.path) | set(frame.aliases)
        for name, benchmark_marks in marks.items():
            if own & benchmark_marks:
                ids[name].append(frame.id)
    return ids


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What frames are compared with: the image paths of a benchmark, and its images' hashes if there is a folder."""

    paths: Sequence[str]
    images: Hashes | None


def read_benchmarks(benchmarks: Mapping[str, tuple[Path, Path | None]], workers: int = 1) -> dict[str, Benchmark]:
    """Reads benchmarks to exclude: by name, the annotation file and the folder of its images, or None for names only.

    Raises Refused if the folder lacks an image, if no image can be compared, or, without a folder, if no name
    identifies an image ("1.jpg" is in every other folder): such an exclusion would exclude nothing, unnoticed.
    """
    read: dict[str, Benchmark] = {}
    for name, (file, folder) in benchmarks.items():
        paths = benchmark_paths(file)
        if folder is None:
            if not any(map(identifiers, paths)):
                raise Refused(f"{name}: no image name in {file} identifies an image, such as {paths[0]!r}; add the "
                              f"folder of its images, to compare their pixels: {name}={file},FOLDER")  # fmt: skip
            read[name] = Benchmark(paths, None)
            continue
        hashes = hash_pictures(folder, [(path, None) for path in images_below(name, file, folder)], workers)
        if not hashes.names:
            reasons = ", ".join(f"{len(places)} {why}" for why, places in hashes.without.items() if places)
            raise Refused(f"{name}: no image of {file} below {folder} can be compared: {reasons}")
        read[name] = Benchmark(paths, hashes)
    return read


def images_below(name: str, file: Path, folder: Path) -> list[str]:
    """The paths, below a folder, of the images that a benchmark's annotation file names.

    The folder is the one in which the annotation's paths start, or one that they lead through (MIG-Bench's begin with
    "./MIG-Bench/images/"): as many leading names are dropped from all paths as find the most files. Raises Refused
    unless all are found.
    """
    files = Folder(folder)
    parts = [_parts(path) for path in dict.fromkeys(benchmark_paths(file)) if "://" not in path]
    depth = max(len(names) for names in parts)
    counts = [sum(_is_there(files, names[dropped:]) for names in parts) for dropped in range(depth)]
    dropped = counts.index(max(counts))
    missing = ["/".join(names) for names in parts if not _is_there(files, names[dropped:])]
    if missing:
        raise Refused(
            f"{name}: {len(missing)} of the {len(parts)} images that {file} names are not below {folder}, such as "
            f"{', '.join(missing[:3])}; give the folder in which these paths start, whole: {name}={file},FOLDER"
        )
    return sorted({"/".join(names[dropped:]) for names in parts})


def _parts(path: str) -> tuple[str, ...]:
    """The names of a path; RefCOCO's refs name an image with the annotation's number after COCO's."""
    plain = re.sub(r"(COCO_\w+_\d{12})_\d+(\.jpg)$", r"\1\2", path.replace("\\", "/"))
    return tuple(part for part in PurePosixPath(os.path.normpath(plain)).parts if part != "/")


def _is_there(files: Folder, names: Sequence[str]) -> bool:
    return bool(names) and names[0] != os.pardir and files.has("/".join(names))


def remove(
    index: Index, root: Path | None, benchmarks: Mapping[str, Benchmark], workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Index, dict[str, int]]:  # fmt: skip
    """Excludes every frame that occurs in a benchmark; returns the index anew and the number excluded by reason.

    `root` is the folder of the source's own pictures (None: no pass over pixels). Of a video the whole scene goes.
    Frames whose own picture cannot be read go too. Pictures that could not be compared, of either side, are counted
    among the index's skips, with their places. Raises Refused if none of the own pictures can be read.
    """
    removed = {}
    for name, ids in matches_by_name(index, {name: benchmark.paths for name, benchmark in benchmarks.items()}).items():
        removed[f"in {name}, by name"] = exclude(index.file, ids, f"in {name}, by name")
    index = Index(index.file)
    hashed = {name: benchmark.images for name, benchmark in benchmarks.items() if benchmark.images is not None}
    if root is None or not hashed:
        return index, removed
    frames_at: dict[Place, list[str]] = {}
    for n in index.numbers().tolist():
        frame = index.frame(n)
        frames_at.setdefault((frame.path, frame.member), []).append(frame.id)
    own = hash_pictures(root, list(frames_at), workers, progress)
    if frames_at and len(own.without[UNREADABLE]) == len(frames_at):
        raise Refused(f"{index.source}: none of its {len(frames_at)} pictures below {root} can be read, such as "
                      f"{next(iter(frames_at))[0]}; they are to be compared with {', '.join(hashed)}")  # fmt: skip
    for name, theirs in hashed.items():
        ids = [id_ for place, _, _ in near_duplicates(own, theirs) for id_ in frames_at[place]]
        removed[f"in {name}, by picture"] = exclude(index.file, ids, f"in {name}, by picture")
        for why, places in theirs.without.items():
            note(index.file, f"picture of {name} that {why}, not compared with", _texts(places))
    unreadable = [id_ for place in own.without[UNREADABLE] for id_ in frames_at[place]]
    if unreadable:
        removed[UNREADABLE_OWN] = exclude(index.file, unreadable, UNREADABLE_OWN, whole_scenes=False)
    note(index.file, "picture of one colour, kept without a comparison", _texts(own.without[ONE_COLOUR]))
    return Index(index.file), removed


UNREADABLE_OWN = "picture that cannot be read"


def _texts(places: Iterable[Place]) -> list[str]:
    return [path if member is None else f"{path}, frame {member}" for path, member in places]
