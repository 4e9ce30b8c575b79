"""Validates a checkpoint folder: complete, of a supported family, and with the content that it was written with.

Done before any work begins, from the files alone: the checkpoint is not loaded, and torch is not imported.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..files.hashing import sha256
from ..files.validation import Faults, read_json
from .chat_template import read_template, template_error
from .families import Unsupported, family_of

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_OTHER_FILES = ("config.json", "tokenizer_config.json", "preprocessor_config.json")
_VOCABULARY = (("tokenizer.json",), ("vocab.json", "merges.txt"))
"""Files that hold the tokenizer's vocabulary: those of either entry do."""

SUMS = "SHA256SUMS"
"""The file with the hashes of a checkpoint's files, in the format of `sha256sum`; the package's own base has one."""

_LARGEST_HEADER = 100_000_000  # bytes: safetensors' own bound


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a checkpoint folder but SUMS, by name."""
    return {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.is_file() and path.name != SUMS}


def write_sums(folder: Path) -> None:
    """Writes SUMS for all files of the folder."""
    (folder / SUMS).write_text("".join(f"{digest}  {name}\n" for name, digest in hashes(folder).items()), "utf-8")


def _read_sums(folder: Path) -> dict[str, str]:
    """The hashes in SUMS, by name; empty without that file. Weights that it does not list get a hash that none has."""
    if not (folder / SUMS).is_file():
        return {}
    lines = (line.partition("  ") for line in (folder / SUMS).read_text("utf-8", "replace").splitlines())
    unlisted = dict.fromkeys((path.name for path in folder.glob("*.safetensors")), "nothing")
    return unlisted | {Path(name).name: digest for digest, _, name in lines}


def missing_files(folder: Path) -> list[str]:
    """The names of the files beside the weights that `models.loading.load` needs and the folder lacks."""
    missing = [name for name in _OTHER_FILES if not (folder / name).is_file()]
    if not any(all((folder / name).is_file() for name in names) for names in _VOCABULARY):
        missing.append(" or ".join(" with ".join(names) for names in _VOCABULARY))
    return missing


def check(folder: Path, recorded: Mapping[str, str] | None = None) -> None:
    """Refuses a checkpoint folder that is incomplete, of no supported family, or of other content than was recorded.

    Args:
        folder: with config, tokenizer, image processor, and safetensors in one file or in shards with an index.
        recorded: the SHA-256 of each file when it was written, by name; None: those in SUMS, if it is there.

    Raises:
        Refused: naming each file that is wrong, and how.
    """
    faults = Faults(folder)
    for name in missing_files(folder):
        faults.add(name, "is missing; copy the whole checkpoint, or give the folder of another")
    faults.refuse()
    config = _read_config(folder, faults)
    shapes: dict[str, list[int]] = {}
    for name in _weights(folder, faults):
        shapes |= _shapes(folder / name, faults)
    faults.refuse()
    _compare_shapes(config, shapes, faults)
    faults.refuse()
    for name, expected in (_read_sums(folder) if recorded is None else recorded).items():
        if not (folder / name).is_file():
            faults.add(name, "is missing, and was there when the checkpoint was written")
        elif (digest := sha256(folder / name)) != expected:
            faults.add(
                name,
                f"has sha256 {digest[:12]}, and had {expected[:12]} when it was written: it was altered."
                " Bring the file back (of this package: by `git checkout`, or a new installation), or move the run away"
                " and give the same command: it is made again",
            )
    faults.refuse()


def _read_config(folder: Path, faults: Faults) -> Mapping[str, Any]:
    """config.json; refuses another kind of model, and a chat template that does not name images as answers do."""
    config = read_json(folder / "config.json")
    try:
        family = family_of(config)
        if error := template_error(read_template(folder)):
            faults.add("chat_template.json", f"{error}; copy that of {family.example} into the folder")
    except Unsupported as unsupported:
        faults.add("config.json", str(unsupported))
    faults.refuse()
    return dict(config)


def _weights(folder: Path, faults: Faults) -> list[str]:
    """The names of the safetensors files: one, or the shards of an index."""
    if (folder / WEIGHTS).is_file():
        return [WEIGHTS]
    if not (folder / INDEX).is_file():
        faults.add(WEIGHTS, "is missing, and so is an index of several; only safetensors are read")
        return []
    index = read_json(folder / INDEX)
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        faults.add(INDEX, "has no weight_map")
        return []
    names = sorted({str(name) for name in weight_map.values()})
    for name in names:
        if Path(name).name != name:
            faults.add(INDEX, f"names {name!r:.80}, which leads out of the folder")
        elif not (folder / name).is_file():
            faults.add(name, f"is missing, and {INDEX} names it; is the copy complete?")
    return [name for name in names if Path(name).name == name and (folder / name).is_file()]


def _shapes(file: Path, faults: Faults) -> dict[str, list[int]]:
    """The shape of every tensor of a safetensors file, by name; a fault if the file's size is not that of its header.

    The format (github.com/huggingface/safetensors, README): 8 bytes with the length of the header, the header as JSON
    with each tensor's dtype, shape and data_offsets, then the data.
    """
    size = file.stat().st_size
    try:
        with file.open("rb") as content:
            (length,) = struct.unpack("<Q", content.read(8))
            if length > min(_LARGEST_HEADER, size):
                raise ValueError("its header is longer than the file")
            header = json.loads(content.read(length))
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        shapes = {name: [int(side) for side in entry["shape"]] for name, entry in tensors.items()}
        end = 8 + length + max(int(entry["data_offsets"][1]) for entry in tensors.values())
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError, struct.error) as error:
        faults.add(file.name, f"is no safetensors file, or is cut off ({error}); is the copy complete?")
        return {}
    if size != end:
        faults.add(file.name, f"has {size:,} bytes, but {end:,} by its header; is the copy complete?")
    return shapes


def _compare_shapes(config: Mapping[str, Any], shapes: Mapping[str, list[int]], faults: Faults) -> None:
    """A fault for each size in which config and weights differ: they are of two checkpoints."""
    text = config.get("text_config") or config
    vision = config.get("vision_config") or {}
    for name, shape in shapes.items():
        embedding = [text.get("vocab_size"), text.get("hidden_size")]
        if name.endswith("embed_tokens.weight") and shape != embedding:
            faults.add(name, f"has shape {shape}, but config.json asks for {embedding}: it is another checkpoint's")
    for part, pattern, expected in (
        ("layers", r"\.layers\.(\d+)\.", text.get("num_hidden_layers")),
        ("blocks of the vision tower", r"\.blocks\.(\d+)\.", vision.get("depth")),
    ):
        count = len({match[1] for match in _matches(shapes, pattern)})
        if count != expected:
            faults.add(WEIGHTS, f"has {count} {part}, but config.json asks for {expected}: it is another checkpoint's")


def _matches(names: Mapping[str, Any], pattern: str) -> Iterator[re.Match[str]]:
    return (match for name in names if (match := re.search(pattern, name)))
