"""Is a folder of weights whole, a Qwen2-VL's, and as it was written?

Looked at before any work begins, from the files alone: a checkpoint is not loaded for it, and torch is not imported.
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

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
BESIDE = ("config.json", "tokenizer.json", "tokenizer_config.json", "preprocessor_config.json")
"""What `models.save` writes beside the weights, and `models.load` needs."""

SUMS = "SHA256SUMS"
"""Where a checkpoint that is handed on has the hashes of its files, as `sha256sum` writes and checks them."""

_LARGEST_HEADER = 100_000_000  # bytes: safetensors' own bound


def hashes(folder: Path) -> dict[str, str]:
    """sha256 of every file of a folder of weights, by name."""
    return {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.is_file() and path.name != SUMS}


def write_sums(folder: Path) -> None:
    """Writes SUMS for all files in the folder."""
    (folder / SUMS).write_text("".join(f"{digest}  {name}\n" for name, digest in hashes(folder).items()), "utf-8")


def _read_sums(folder: Path) -> dict[str, str]:
    """What SUMS says, by name, of all weights at least; nothing where there is none. Names lead nowhere else."""
    if not (folder / SUMS).is_file():
        return {}
    lines = (line.partition("  ") for line in (folder / SUMS).read_text("utf-8", "replace").splitlines())
    unsaid = dict.fromkeys((path.name for path in folder.glob("*.safetensors")), "nothing")
    return unsaid | {Path(name).name: digest for digest, _, name in lines}


def check(folder: Path, recorded: Mapping[str, str] | None = None) -> None:
    """Refuses a folder of weights that is not whole, is no Qwen2-VL's, or has other content than was recorded.

    Args:
        folder: with config, tokenizer, and weights in one file or in those of an index.
        recorded: the sha256 of each file when it was written, by name; None: what SUMS says, if it is there.

    Raises:
        Refused: naming each file that is not in order.
    """
    faults = Faults(folder)
    for name in BESIDE:
        if not (folder / name).is_file():
            faults.add(name, "is missing; copy the whole checkpoint, or give the folder of another")
    faults.refuse()
    config = read_json(folder / "config.json")
    if not isinstance(config, dict) or config.get("model_type") != "qwen2_vl":
        found = config.get("model_type") if isinstance(config, dict) else config
        faults.add("config.json", f"has model_type {found!r:.80}; expected 'qwen2_vl', which is what is studied")
        faults.refuse()
    shapes: dict[str, list[int]] = {}
    for name in _weights(folder, faults):
        shapes |= _shapes(folder / name, faults)
    faults.refuse()
    _agree(config, shapes, faults)
    faults.refuse()
    for name, expected in (_read_sums(folder) if recorded is None else recorded).items():
        if not (folder / name).is_file():
            faults.add(name, "is missing, and was there when the checkpoint was written")
        elif (found := sha256(folder / name)) != expected:
            faults.add(
                name,
                f"has sha256 {found[:12]}, and had {expected[:12]} when it was written: it was altered."
                " Bring the file back (of this package: by `git checkout`, or a new installation), or move the run away"
                " and give the same command: it is made again",
            )
    faults.refuse()


def _weights(folder: Path, faults: Faults) -> list[str]:
    """The names of the files that have the weights."""
    if (folder / WEIGHTS).is_file():
        return [WEIGHTS]
    if not (folder / INDEX).is_file():
        faults.add(WEIGHTS, "is missing, and so is an index of several; only safetensors are read")
        return []
    index = read_json(folder / INDEX)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not places:
        faults.add(INDEX, "has no weight_map")
        return []
    names = sorted({str(name) for name in places.values()})
    for name in names:
        if Path(name).name != name:
            faults.add(INDEX, f"names {name!r:.80}, which leads out of the folder")
        elif not (folder / name).is_file():
            faults.add(name, f"is missing, and {INDEX} names it; is the copy complete?")
    return [name for name in names if Path(name).name == name and (folder / name).is_file()]


def _shapes(file: Path, faults: Faults) -> dict[str, list[int]]:
    """The shape of every tensor of a safetensors file, by name; a fault if the file is not as long as they need.

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
        tensors = {name: about for name, about in header.items() if name != "__metadata__"}
        shapes = {name: [int(side) for side in about["shape"]] for name, about in tensors.items()}
        end = 8 + length + max(int(about["data_offsets"][1]) for about in tensors.values())
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError, struct.error) as error:
        faults.add(file.name, f"is no safetensors file, or is cut off ({error}); is the copy complete?")
        return {}
    if size != end:
        faults.add(file.name, f"has {size:,} bytes, but {end:,} by its header; is the copy complete?")
    return shapes


def _agree(config: Mapping[str, Any], shapes: Mapping[str, list[int]], faults: Faults) -> None:
    """A fault for each size that the config has and the weights have not: they are of two checkpoints."""
    text = config.get("text_config") or config
    vision = config.get("vision_config") or {}
    for name, shape in shapes.items():
        expected = [text.get("vocab_size"), text.get("hidden_size")]
        if name.endswith("embed_tokens.weight") and shape != expected:
            faults.add(name, f"has shape {shape}, but config.json asks for {expected}: it is another checkpoint's")
    for what, pattern, wanted in (
        ("layers", r"\.layers\.(\d+)\.", text.get("num_hidden_layers")),
        ("blocks of the vision tower", r"\.blocks\.(\d+)\.", vision.get("depth")),
    ):
        found = len({match[1] for match in _numbered(shapes, pattern)})
        if found != wanted:
            faults.add(WEIGHTS, f"has {found} {what}, but config.json asks for {wanted}: it is another checkpoint's")


def _numbered(names: Mapping[str, Any], pattern: str) -> Iterator[re.Match[str]]:
    return (match for name in names if (match := re.search(pattern, name)))
