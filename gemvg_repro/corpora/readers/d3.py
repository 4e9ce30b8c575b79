"""How are D3's (Described Object Detection) annotations read? The folder d3_pkl of its download.

Four pickles {images, annotations, sentences, groups}.pkl, each a dict of records by id (d-cube's doc.md, "Key
Concepts"). A box is xywh in pixels, wrapped as an array or list of shape (1, 4) (d_cube/d3.py:397). Every image is
annotated with every sentence, so that an object is known not to fit all others; the phrases of an instance are its
sentences. The group of an image is its scene: the images that were collected for the same descriptions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...files import pickles
from ...files.validation import Refused
from ..frames import EVERYTHING, AnnotatedFrame, Instance, Skips, clean_phrase
from . import fields
from .duplicates import merged

LICENCE = "D3: CC BY-NC 4.0; images: Flickr's terms of use"


def read(folder: Path, skips: Skips, root: Path | None = None) -> Iterator[AnnotatedFrame]:
    """Frames in the order of images.pkl. `root` is the folder of the image files; None does not look for them.

    Raises Refused if a pickle is missing or no dict of records; d3_json will not do, since it says nothing of
    the sentences of other groups.
    """
    images, annotations, sentences = (_records(folder, name) for name in ("images", "annotations", "sentences"))
    texts = _texts(sentences, skips)
    of_image: dict[Any, list[tuple[Any, Any]]] = {}
    for key, record in annotations.items():
        image = record.get("image_id") if isinstance(record, dict) else None
        if not fields.is_id(image) or image not in images:
            skips.add("annotation of an unknown image", f"annotations[{key!r}]")
            continue
        of_image.setdefault(image, []).append((key, record))
    files = fields.Folder(root)
    for key, record in images.items():
        frame = _frame(key, record, of_image.get(key, []), texts, files, skips)
        if frame:
            yield frame


def _records(folder: Path, name: str) -> Mapping[Any, Any]:
    file = folder / f"{name}.pkl"
    content = pickles.load(file)
    if not isinstance(content, dict) or not content or not all(map(fields.is_id, content)):
        raise Refused(f"{file} is no dict of records by id; expected the d3_pkl folder of D3's download")
    return content


def _texts(sentences: Mapping[Any, Any], skips: Skips) -> dict[Any, str | None]:
    """The text of each sentence, None for one that cannot be asked; two of the same text are one description."""
    texts: dict[Any, str | None] = {}
    for key, record in sentences.items():
        texts[key] = clean_phrase(record.get("raw_sent")) if isinstance(record, dict) else None
        if texts[key] is None:
            skips.add("sentence that cannot be asked", f"sentences[{key!r}]")
    return texts


def _frame(
    key: Any,
    record: Any,
    notes: list[tuple[Any, Any]],
    texts: Mapping[Any, str | None],
    files: fields.Folder,
    skips: Skips,
) -> AnnotatedFrame | None:
    where = f"images[{key!r}]"
    if not isinstance(record, dict) or record.get("id", key) != key:
        skips.add("image without its own id", where)
        return None
    size, path = (
        fields.size(_plain(record.get("width")), _plain(record.get("height"))),
        fields.path(record.get("file_name")),
    )
    if size is None or path is None:
        skips.add("image without a usable size" if size is None else "image without a usable file name", where)
        return None
    if not files.has(path):
        skips.add("image file missing", f"{where}: {path}")
        return None
    if not files.agrees(path, size, where, skips):
        return None
    unclear: set[str] = set()
    instances = [i for note in notes if (i := _instance(*note, size, texts, unclear, skips))]
    flickr = fields.flickr(record.get("flickr_url"))
    group = record.get("group_id")
    return AnnotatedFrame(
        str(key), f"group/{group if fields.is_id(group) else key}", path, *size, merged(instances, where, skips),
        unclear=frozenset(unclear), aliases=(flickr,) if flickr else (),
    )  # fmt: skip


def _instance(
    key: Any, record: Any, size: fields.Size, texts: Mapping[Any, str | None], unclear: set[str], skips: Skips
) -> Instance | None:
    """The object; or None, and the phrases that may describe it are unclear."""
    sentence_ids = record.get("sent_id")
    ids_are_known = isinstance(sentence_ids, list | tuple) and all(fields.is_id(s) and s in texts for s in sentence_ids)
    phrases = tuple(dict.fromkeys(text for s in sentence_ids if (text := texts[s]))) if ids_are_known else ()
    box = fields.box(_flat(record.get("bbox")), "xywh", size)
    crowd = _plain(record.get("iscrowd", 0))
    fault = None
    if not ids_are_known:
        fault = "annotation of an unknown sentence"
    elif crowd:
        fault = "crowd"
    elif isinstance(box, str):
        fault = box
    if fault or isinstance(box, str):
        skips.add(str(fault), f"annotations[{key!r}]")
        unclear.update(phrases if ids_are_known else (EVERYTHING,))
        return None
    return Instance(str(key), "", box, attributes=phrases)


def _plain(value: Any) -> Any:
    """A number out of the arrays and lists of one that D3 wraps it in."""
    while (isinstance(value, np.ndarray) and value.size == 1) or (isinstance(value, list | tuple) and len(value) == 1):
        value = value.item() if isinstance(value, np.ndarray) else value[0]
    return value


def _flat(value: Any) -> Any:
    """A box as a list of numbers, of shape (4,) or (1, 4), array or list."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    return value.tolist() if isinstance(value, np.ndarray) else value
