"""What is the bounding box of a mask? From COCO's run-length encoding, also inside an LZ-string, undrawn.

COCO's runs go down the columns, starting with the background; a compressed string holds them five bits a
character from chr(48), with a bit that says "more", differences to the run before last from the fourth on
(cocoapi common/maskApi.c, rleToString and rleFrString). Ego-Exo4D wraps such a string by LZ-string's
compressToEncodedURIComponent. Both decoders are for files of strangers: they never read past the end, and
refuse what does not add up.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_URI_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-$"
_BITS = {letter: f"{n:06b}" for n, letter in enumerate(_URI_ALPHABET[:64])} | {"$": "000000", " ": f"{62:06b}"}

MOST_CHARACTERS = 2**20
"""Of a decoded LZ-string; the runs of a mask of 8 megapixels are far shorter."""


class MaskError(ValueError):
    """A mask that cannot be read."""


def counts_of(compressed: str | bytes) -> NDArray[np.int64]:
    """The run lengths of a compressed string, of shape (number of runs,). Raises MaskError."""
    raw = compressed.encode("latin-1", "replace") if isinstance(compressed, str) else compressed
    codes = np.frombuffer(raw, dtype=np.uint8).astype(np.int64) - 48
    if not codes.size or codes.min() < 0 or codes.max() > 63:
        raise MaskError("an empty run-length string, or one with a character that it cannot have")
    continues = codes & 0x20 != 0
    ends = np.flatnonzero(~continues)
    if continues[-1]:
        raise MaskError("a run-length string that is cut off")
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 7:
        raise MaskError("a run of more than 35 bits")
    place = np.arange(codes.size) - np.repeat(starts, lengths)
    values: NDArray[np.int64] = np.add.reduceat((codes & 0x1F) << (5 * place), starts)
    negative = codes[ends] & 0x10 != 0
    values = np.where(negative, values - (np.int64(1) << (5 * lengths)), values)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def box_of(counts: Sequence[int] | NDArray[np.int64], width: int, height: int) -> tuple[int, int, int, int] | None:
    """The xyxy box in pixels (the right and lower edge exclusive) of a mask's runs; None if the mask is empty.

    Raises MaskError if a run is negative or the runs do not make up width x height pixels.
    """
    try:
        runs = np.asarray(counts, dtype=np.int64)
    except (TypeError, ValueError, OverflowError) as error:
        raise MaskError("runs that are no integers") from error
    if runs.ndim != 1 or not runs.size or runs.min() < 0 or int(runs.sum()) != width * height:
        raise MaskError(f"runs that do not make up {width}x{height} pixels")
    ends = np.cumsum(runs)
    first, last = ends[0:-1:2], ends[1::2] - 1  # of each run of the object
    not_empty = last >= first
    first, last = first[not_empty], last[not_empty]
    if not first.size:
        return None
    x1, x2 = int(first[0]) // height, int(last[-1]) // height + 1
    if np.any(first // height != last // height):  # a run over a column's end touches top and bottom
        return x1, 0, x2, height
    return x1, int((first % height).min()), x2, int((last % height).max()) + 1


def lz_decode(text: str, max_characters: int = MOST_CHARACTERS) -> str:
    """The text that LZ-string's compressToEncodedURIComponent encoded (lz-string 1.5). Raises MaskError."""
    try:
        bits = "".join([_BITS[letter] for letter in text])
    except KeyError as error:
        raise MaskError("an LZ-string with a letter that it cannot have") from error
    at = 0

    def take(width: int) -> int:
        nonlocal at
        piece = bits[at : at + width]
        if len(piece) < width:
            raise MaskError("an LZ-string that is cut off")
        at += width
        return int(piece[::-1], 2)

    words: list[str] = ["", "", ""]
    width, room = 3, 4  # bits of a code; new words until codes grow
    code = take(2)
    if code == 2:
        return ""
    if code > 2:
        raise MaskError("an LZ-string that begins with no letter")
    before = chr(take(16 if code else 8))
    words.append(before)
    parts, length = [before], 1
    while True:
        code = take(width)
        if code == 2:
            return "".join(parts)
        if code < 2:
            words.append(chr(take(16 if code else 8)))
            code = len(words) - 1
            room -= 1
            if room == 0:
                room = 1 << width
                width += 1
        if code < len(words):
            word = words[code]
        elif code == len(words):
            word = before + before[0]
        else:
            raise MaskError("an LZ-string with a code that it has not defined")
        parts.append(word)
        length += len(word)
        if length > max_characters:
            raise MaskError(f"an LZ-string of more than {max_characters} characters")
        words.append(before + word[0])
        before = word
        room -= 1
        if room == 0:
            room = 1 << width
            width += 1


def lz_encode(text: str) -> str:
    """LZ-string's compressToEncodedURIComponent (lz-string 1.5, `_compress`) of Latin-1 text."""
    bits: list[int] = []
    words: dict[str, int] = {}
    fresh: set[str] = set()
    width, room = 2, 2

    def put(value: int, count: int) -> None:
        bits.extend(value >> n & 1 for n in range(count))

    def grow() -> None:
        nonlocal room, width
        room -= 1
        if room == 0:
            room = 1 << width
            width += 1

    def emit(word: str) -> None:
        if word in fresh:
            put(0, width)
            put(ord(word), 8)
            grow()
            fresh.discard(word)
        else:
            put(words[word], width)
        grow()

    word = ""
    for letter in text:
        if letter not in words:
            words[letter] = len(words) + 3
            fresh.add(letter)
        if word + letter in words:
            word += letter
            continue
        emit(word)
        words[word + letter] = len(words) + 3
        word = letter
    if word:
        emit(word)
    put(2, width)
    while True:  # the flush of lz-string: at least one more bit
        bits.append(0)
        if len(bits) % 6 == 0:
            break
    return "".join(_URI_ALPHABET[int("".join(map(str, bits[n : n + 6])), 2)] for n in range(0, len(bits), 6))
