"""How are conversations about several images read? From JSON lists or JSON lines in any of four common layouts.

- LLaVA (docs/Finetune_Custom_Data.md; LLaVA-NeXT-Interleave, Migician): {image: path | [paths], conversations: [{from:
  human | gpt, value}]};
- Mantis: {images, conversation: [{role: user | assistant, content}]};
- LLaMA-Factory and ms-swift: {images, messages: [{role, content}]}, the first of which may be the system's;
- Qwen: the same, whose content is a list of {type: text, text} and {type: image, image: path}.

`<image>` marks where each image stands. Turns alternate and begin with the user. All images of a sample are shown
before the first question, labelled "Picture 1: " and so on, and marks become these names (image_marks.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from ...files.validation import Refused, read_json
from ..frames import AnnotatedFrame, Conversation, Skips
from . import fields, json_stream
from .image_marks import MARK, named

LICENCE = "conversations: each data set's own terms, which its files do not state; look them up before passing on"

TURNS = ("conversations", "messages", "conversation")
"""The keys under which the turns of a record can be."""

SPEAKERS = ({"human", "user"}, {"gpt", "assistant"})

MAX_LINE = 2**22
"""Characters of a line of JSON lines."""


class NoConversations(Refused):
    """A file that is one JSON object without turns, such as LLaMA-Factory's dataset_info.json."""


def read(file: Path, skips: Skips, root: Path | None = None, least_images: int = 1) -> Iterator[Conversation]:
    """Conversations in order. `root` is the folder of the image files; None does not look for them.

    Raises Refused if it is neither a list nor lines of such records, NoConversations if it is one object without turns.
    """
    files = fields.Folder(root)
    seen = 0
    for n, record in enumerate(_records(file)):
        seen += 1
        where = f"{file.name}[{n}]"
        conversation = _conversation(record, where, skips)
        if conversation is None:
            continue
        missing = [path for path in conversation.images if not files.has(path)]
        if missing:
            skips.add("picture missing", f"{where}: {missing[0]}")
        elif len(conversation.images) < least_images:
            skips.add("fewer pictures than asked for", where)
        else:
            yield conversation
    if not seen:
        raise Refused(f"{file} has no conversation; expected a JSON list, or lines, of records with {_keys()}")


def read_folder(folder: Path, skips: Skips, check_files: bool = True) -> Iterator[AnnotatedFrame | Conversation]:
    """The conversations of every *.json and *.jsonl file of a folder, in order of name, each after its pictures.

    A picture is a frame of its own, without annotation, of the id of its path below the folder; of size 0 x 0 if
    `check_files` is False, which supposes that all are there. A file that is one object without turns is skipped and
    counted by its name. Raises Refused if there is no file with conversations.
    """
    files = sorted(f for f in folder.glob("*.json*") if f.suffix in (".json", ".jsonl"))
    if not files:
        raise Refused(f"{folder} has no *.json or *.jsonl; expected files of conversations beside their pictures")
    others: list[Path] = []
    for file in files:
        try:
            yield from _of_file(file, folder, skips, check_files)
        except NoConversations:
            others.append(file)
            skips.add("file that is one JSON object, no list of conversations", file.name)
    if others == files:
        names = ", ".join(file.name for file in files)
        raise Refused(f"{folder} has no conversations: {names} is one JSON object; expected records with {_keys()}")


def _of_file(file: Path, folder: Path, skips: Skips, check_files: bool) -> Iterator[AnnotatedFrame | Conversation]:
    pictures = fields.Folder(folder if check_files else None)
    for n, conversation in enumerate(read(file, skips, folder if check_files else None)):
        sizes = {path: pictures.size(path) if check_files else (0, 0) for path in conversation.images}
        if broken := [path for path, size in sizes.items() if size is None]:
            skips.add("picture that cannot be read", f"{file.name}: {broken[0]}")
            continue
        yield from (AnnotatedFrame(path, f"picture/{path}", path, *size) for path, size in sizes.items() if size)
        yield replace(conversation, id=f"{file.name}/{n}/{conversation.id}")  # ids come twice, in one file even


def _keys() -> str:
    return " or ".join(f"`{key}`" for key in TURNS)


def _records(file: Path) -> Iterator[Any]:
    if json_stream.first_character(file) != "{":
        yield from json_stream.items(file, "item")
        return
    with json_stream.utf8(file) as content:
        lines = (line for line in iter(lambda: content.readline(MAX_LINE), b"") if line.strip())
        first = next(lines)
        second = next(lines, None)
        if second is None or not _is_json(first):  # one object, on a line or on several
            yield _single(file, first, second)
            return
        for n, line in enumerate(chain((first, second), lines), 1):
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as error:
                raise Refused(f"{file}, line {n}: no JSON: {error}; is the download complete?") from error


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _single(file: Path, first: bytes, second: bytes | None) -> Any:
    """The record of a file that is one object. Raises Refused for no JSON, NoConversations without turns."""
    record = json.loads(first) if second is None and _is_json(first) else read_json(file)
    if isinstance(record, dict) and not any(isinstance(record.get(key), list) for key in TURNS):
        raise NoConversations(
            f"{file} is one JSON object without {_keys()}; expected a list, or lines, of such records"
        )
    return record


def _conversation(record: Any, where: str, skips: Skips) -> Conversation | None:
    fields_of_record = record if isinstance(record, dict) else {}
    turns = next((t for key in TURNS if isinstance(t := fields_of_record.get(key), list)), [])
    if turns and _speaker(turns[0]) == "system":
        skips.add("system turn, left out of its conversation", where)
        turns = turns[1:]
    if len(turns) < 2 or len(turns) % 2:
        skips.add("conversation without pairs of turns", where)
        return None
    inline: list[Any] = []
    texts = [_text(turn, SPEAKERS[n % 2], inline) for n, turn in enumerate(turns)]
    images = _images(fields_of_record, inline)
    fault = _fault(texts, images, fields_of_record)
    if fault or images is None:
        skips.add(str(fault), where)
        return None
    plain = named([text or "" for text in texts])
    if not all(plain):
        skips.add("turn of the wrong speaker, or without text", where)
        return None
    id_ = fields_of_record.get("id", f"[{where.rpartition('[')[2]}")
    return Conversation(str(id_), tuple(images), tuple(zip(plain[::2], plain[1::2], strict=True)))


def _fault(texts: list[str | None], images: list[str] | None, record: dict[str, Any]) -> str | None:
    """The class of fault of a record's turns and images; None for a sound one."""
    if images is None:
        return "picture without a usable path"
    sound = [text for text in texts if text is not None]
    if len(sound) < len(texts):
        return "turn of the wrong speaker, or without text"
    others = [kind for kind in ("video", "audio") if record.get(kind) or record.get(f"{kind}s")]
    if others or any(mark in text for text in sound for mark in ("<video>", "<audio>")):
        return "conversation about a video or a sound"
    if any("<|" in text for text in sound):  # the tokenizer would read an image's place, or a turn's end, out of text
        return "turn with a special token"
    if sum(text.count(MARK) for text in sound) not in (0, len(images)):
        return "pictures and their marks do not agree"
    return None


def _speaker(turn: Any) -> Any:
    return turn.get("from", turn.get("role")) if isinstance(turn, dict) else None


def _text(turn: Any, speakers: set[str], inline: list[Any]) -> str | None:
    """The text of a turn with its marks; the paths of images within it are added to `inline`. None for no such turn."""
    speaker = _speaker(turn)
    if not isinstance(speaker, str) or speaker not in speakers:
        return None
    content = turn.get("value", turn.get("content"))
    if not isinstance(content, list):
        return content if isinstance(content, str) else None
    parts = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            parts.append(part["text"])
        elif kind == "image":
            parts.append(MARK)
            inline += [part[key] for key in ("image", "path") if key in part][:1]
        else:
            return None
    return "".join(parts)


def _images(record: dict[str, Any], inline: list[Any]) -> list[str] | None:
    """The paths of a record's images, or of those within its turns; None unless all can be used."""
    value = record.get("image", record.get("images")) or inline
    listed = value if isinstance(value, list) else [value]
    paths = [image.get("path") if isinstance(image, dict) else image for image in listed]  # the hub's {bytes, path}
    return [str(path) for path in paths] if all(fields.path(path) for path in paths) else None
