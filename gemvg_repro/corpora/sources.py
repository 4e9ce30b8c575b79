"""Where are the official files of each source below its root, and which reader reads them?

coco       annotations/instances_train2017.json, train2017/
d3         d3_pkl/{images,annotations,sentences,groups}.pkl, d3_images/
egoexo4d   annotations/relations_train.json, takes/; or, processed, <take_uid>/annotation.json
mvtrack    <objN>/<objN>-<view>/, with mvtrack_train_split.txt or train_split.txt if there is one
conversations   *.json or *.jsonl, pictures beside them
star       STAR_train.json; frames/<video>.mp4/ or Charades_v1_480/<video>.mp4; Action Genome's two pickles, or its
           person_bbox.pkl alone, if there
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ..files.validation import Refused
from . import index_builder
from .frames import AnnotatedFrame, Skips, SourceQuestion
from .index import Index
from .index_builder import Record
from .naming import Families
from .readers import coco, conversations, d3, egoexo, mvtrack, star


@dataclass(frozen=True)
class Source:
    """How a source is read from its root, and where its pictures are.

    `exhaustive`: an object that is not annotated in a frame is absent. `read` takes the root, the record of skips, and
    whether image files must exist.
    """

    licence: str
    exhaustive: bool
    read: Callable[[Path, Skips, bool], Iterable[Record]]
    pictures: Callable[[Path], Path]
    annotations: tuple[str, ...]
    """Glob patterns of the annotation files below the root."""


def _coco(root: Path, skips: Skips, check_files: bool) -> Iterable[AnnotatedFrame]:
    return coco.read(
        root / "annotations" / "instances_train2017.json", skips, root / "train2017" if check_files else None
    )


def _d3(root: Path, skips: Skips, check_files: bool) -> Iterable[AnnotatedFrame]:
    return d3.read(root / "d3_pkl", skips, root / "d3_images" if check_files else None)


def _egoexo(root: Path, skips: Skips, check_files: bool) -> Iterable[AnnotatedFrame]:
    relations = root / "annotations" / "relations_train.json"
    return egoexo.read(relations if relations.is_file() else root, skips, root if check_files else None)


def _mvtrack(root: Path, skips: Skips, check_files: bool) -> Iterable[AnnotatedFrame]:
    listed = any((root / f"{name}train_split.txt").is_file() for name in ("", "mvtrack_"))
    return mvtrack.read(root, skips, "train" if listed else None)


def _star(root: Path, skips: Skips, check_files: bool) -> Iterable[AnnotatedFrame | SourceQuestion]:
    pickled = root if any((root / name).is_file() for name in (star.OBJECTS, star.PERSONS)) else None
    frames = _star_pictures(root) if check_files or pickled is None else None
    return star.read(root / "STAR_train.json", skips, frames, pickled)


def _star_pictures(root: Path) -> Path:
    return next((f for f in (root / "frames", root / "Charades_v1_480") if f.is_dir()), root / "frames")


def _root(root: Path) -> Path:
    return root


SOURCES: Mapping[str, Source] = {
    "coco": Source(
        coco.LICENCE, True, _coco, lambda root: root / "train2017", ("annotations/instances_train2017.json",)
    ),
    "d3": Source(d3.LICENCE, True, _d3, lambda root: root / "d3_images", ("d3_pkl/*.pkl",)),
    "egoexo4d": Source(
        egoexo.LICENCE, False, _egoexo, _root, ("annotations/relations_train.json", "*/annotation.json")
    ),
    "mvtrack": Source(mvtrack.LICENCE, False, _mvtrack, _root, ("*train_split.txt", "*/*/*.txt")),
    "star": Source(star.LICENCE, False, _star, _star_pictures, ("STAR_train.json", "*.pkl")),
    "conversations": Source(
        conversations.LICENCE, False, conversations.read_folder, _root, ("*.json", "*.jsonl")
    ),
}  # fmt: skip


def annotation_files(source: str, root: Path) -> list[Path]:
    """The annotation files of a source below its root, in order of name; empty for a source that is not known."""
    patterns = SOURCES[source].annotations if source in SOURCES else ()
    return sorted({file for pattern in patterns for file in root.glob(pattern) if file.is_file()})


def index_source(
    source: str, root: Path, file: Path, check_files: bool = True, families: Families = MappingProxyType({})
) -> Index:
    """The index of a source, made at `file` from its official files. Raises Refused.

    `check_files` False supposes that every image file exists; `families` are phrases that names imply (naming.py).
    """
    if source not in SOURCES:
        raise Refused(f"no source {source!r}; there are {', '.join(SOURCES)}")
    if not root.is_dir():
        raise Refused(f"{source}: {root} is no folder; expected the root of its official files")
    official = SOURCES[source]
    return index_builder.build(
        file, source, lambda skips: official.read(root, skips, check_files),
        exhaustive=official.exhaustive, facts={"licence": official.licence}, families=families,
    )  # fmt: skip
