"""How are conversations about several images read from a LLaVA-style file?

The form (LLaVA, docs/Finetune_Custom_Data.md; multi-image by LLaVA-NeXT-Interleave and Migician): a JSON list, or JSON
lines, of {id, image: path | [paths], conversations: [{from: human | gpt, value}]}. `<image>` marks where each picture
stands. Turns alternate and begin with the human.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...files.validation import Refused
from ..frames import AnnotatedFrame, Conversation, Skips
from . import fields, json_stream

LICENCE = "conversations: each data set's own terms, which its files do not state; look them up before passing on"

MARK = "<image>"
MOST_LINE = 2**22
"""Characters of a line of JSON lines."""


def read(file: Path, skips: Skips, root: Path | None = None, least_images: int = 1) -> Iterator[Conversation]:
    """Conversations in order. `root` is the folder of the image files; None does not look for them.

    Raises Refused if it is neither a list nor lines of such records.
    """
    files = fields.Folder(root)
    seen = 0
    for n, record in enumerate(_records(file)):
        seen += 1
        conversation = _conversation(record, f"[{n}]", skips)
        if conversation is None:
            continue
        missing = [path for path in conversation.images if not files.has(path)]
        if missing:
            skips.add("picture missing", f"[{n}]: {missing[0]}")
        elif len(conversation.images) < least_images:
            skips.add("fewer pictures than asked for", f"[{n}]")
        else:
            yield conversation
    if not seen:
        raise Refused(f"{file} has no conversation; expected a JSON list, or lines, of records with `conversations`")


def read_folder(folder: Path, skips: Skips, check_files: bool = True) -> Iterator[AnnotatedFrame | Conversation]:
    """The conversations of every *.json and *.jsonl file of a folder, in order of name, each after its pictures.

    A picture is a frame of its own, without annotation, of the id of its path below the folder; of size 0 x 0 if
    `look` is False, which supposes that all are there. Raises Refused if there is no such file.
    """
    files = sorted(f for f in folder.glob("*.json*") if f.suffix in (".json", ".jsonl"))
    if not files:
        raise Refused(f"{folder} has no *.json or *.jsonl; expected files of conversations beside their pictures")
    pictures = fields.Folder(folder if check_files else None)
    for file in files:
        for n, conversation in enumerate(read(file, skips, folder if check_files else None)):
            sizes = {path: pictures.size(path) if check_files else (0, 0) for path in conversation.images}
            if broken := [path for path, size in sizes.items() if size is None]:
                skips.add("picture that cannot be read", f"{file.name}: {broken[0]}")
                continue
            yield from (AnnotatedFrame(path, f"picture/{path}", path, *size) for path, size in sizes.items() if size)
            yield replace(conversation, id=f"{file.name}/{n}/{conversation.id}")  # ids come twice, in one file even


def _records(file: Path) -> Iterator[Any]:
    try:
        with file.open("rb") as content:
            first = content.read(4096).lstrip()[:1]
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror}") from error
    if first != b"{":
        yield from json_stream.items(file, "item")
        return
    with file.open("r", encoding="utf-8") as lines:
        for n, line in enumerate(iter(lambda: lines.readline(MOST_LINE), ""), 1):
            if line.strip():
                try:
                    yield json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise Refused(f"{file}, line {n}: no JSON: {error}; is the download complete?") from error


def _conversation(record: Any, where: str, skips: Skips) -> Conversation | None:
    turns = record.get("conversations") if isinstance(record, dict) else None
    if not isinstance(turns, list) or len(turns) < 2 or len(turns) % 2:
        skips.add("conversation without pairs of turns", where)
        return None
    pictures = record.get("image", record.get("images", []))
    pictures = [pictures] if isinstance(pictures, str) else pictures
    if not isinstance(pictures, list) or not all(fields.path(p) for p in pictures):
        skips.add("picture without a usable path", where)
        return None
    values = []
    for n, turn in enumerate(turns):
        speaker = ("human", "user") if n % 2 == 0 else ("gpt", "assistant")
        value = turn.get("value") if isinstance(turn, dict) else None
        if not isinstance(value, str) or turn.get("from") not in speaker:
            skips.add("turn of the wrong speaker, or without text", where)
            return None
        if "<|" in value:  # the tokenizer would read a picture's place, or the end of a turn, out of mere text
            skips.add("turn with a special token", where)
            return None
        values.append(value)
    marks = sum(value.count(MARK) for value in values)
    if marks not in (0, len(pictures)) or any(MARK in value for value in values[1::2]):
        skips.add("pictures and their marks do not agree", where)
        return None
    plain = [" ".join(value.replace(MARK, " ").split()) for value in values]
    if not all(plain):
        skips.add("turn of the wrong speaker, or without text", where)
        return None
    id_ = record.get("id", where)
    return Conversation(str(id_), tuple(pictures), tuple(zip(plain[::2], plain[1::2], strict=True)))
