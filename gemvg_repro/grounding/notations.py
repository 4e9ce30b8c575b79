"""How does a family of models write boxes? Texts are translated from the package's own notation, and back.

All that is composed, parsed, rewarded, scored and kept is in one notation, that of `grounding.answers`. What a model
of another family is given (prompts, answers to be learned) is written in its own; what it answers is read back.

- Qwen2-VL: <|box_start|>(x1,y1),(x2,y2)<|box_end|>, thousandths of the image's sides (arXiv 2409.12191, section 2.2).
- Qwen2.5-VL: {"bbox_2d": [x1, y1, x2, y2]}, pixels of the resized image (arXiv 2502.13923; issues 676 and 866 of
  github.com/QwenLM/Qwen3-VL, where its authors answer).
- Qwen3-VL: the same, in thousandths again (there, issues 1486 and 1741, and cookbooks/2d_grounding.ipynb).

Both later families answer about one image, as a list of such objects. How they name one of several is not defined; here
it is as in the package's grammar: Picture 1: {"bbox_2d": [x1, y1, x2, y2]}; Picture 2: ...
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor

from .answers import BOX_END, BOX_START
from .parsing import ELEMENT, picture_number

Size = tuple[int, int]
"""Width and height, in pixels."""

_NUMBER = r"\s{0,4}(-?[0-9]{1,30}(?:\.[0-9]{1,30})?)\s{0,4}"
_KEY = r'"bbox_2d"\s{0,4}:\s{0,4}\['
_OBJECT = re.compile(rf"\{{[^{{}}]{{0,200}}?{_KEY}{','.join([_NUMBER] * 4)}\][^{{}}]{{0,200}}\}}", re.ASCII)
_CUT_OFF = re.compile(rf"\{{[^{{}}]{{0,200}}?{_KEY}", re.ASCII)
_FENCE = re.compile(r"```(?:json)?")
_NAMED_AFTER = re.compile(r" (?:in|of) Picture ([0-9]{1,9})\b")


@dataclass(frozen=True)
class Notation:
    """A family's notation of boxes; the package's own by default.

    Attributes:
        json: whether a box is an object {"bbox_2d": [x1, y1, x2, y2]}.
        pixels: whether coordinates are pixels of the resized image.
    """

    json: bool = False
    pixels: bool = False

    def write(self, text: str, frames: Sequence[Size]) -> str:
        """A text of the package in this notation.

        A box is in the image that is named right behind it ("in Picture 2"), else in the one named last before it, else
        in the only one.

        Args:
            text: a question, an answer or a chain of thought.
            frames: of each of the images that it is about, the size that it is resized to; read only for `pixels`.

        Raises:
            ValueError: coordinates are pixels, and a box names no image, or one that there is not.
        """

        def written(box: re.Match[str], picture: int | None) -> str:
            corners = [int(number) for number in _numbers(box)]
            if self.pixels:
                if picture is None or not 0 <= picture < len(frames):
                    raise ValueError(
                        f"{box[0]} is in none of the {len(frames)} pictures, by whose size its pixels are reckoned:"
                        f" {text!r:.200}. Name the picture before the box, as in 'Picture 1: {box[0]}'"
                    )
                corners = _rescaled(corners, [side / 1000 for side in frames[picture]])
            x1, y1, x2, y2 = corners
            if self.json:
                return f'{{"bbox_2d": [{x1}, {y1}, {x2}, {y2}]}}'
            return f"{BOX_START}({x1},{y1}),({x2},{y2}){BOX_END}"

        if not self.json and not self.pixels:
            return text
        return _with_boxes(text, len(frames), written, named_after=True)

    def read(self, text: str, frames: Sequence[Size]) -> str:
        """What a model wrote, in the package's notation, for `grounding.parsing`, whose rules say in which image a box
        is. Never raises: a box that cannot be converted stays as it is, and the parser says what is wrong with it.

        Pixels become thousandths, rounded; the labels of boxes and the fence around JSON are left out.

        Args:
            text: an answer, with its special tokens or without.
            frames: see `write`.
        """

        def read(box: re.Match[str], picture: int | None) -> str:
            if picture is None or not 0 <= picture < len(frames):
                return box[0]
            corners = _rescaled(list(map(float, _numbers(box))), [1000 / side for side in frames[picture]])
            x1, y1, x2, y2 = corners
            return f"{box['open'] or ''}({x1},{y1}),({x2},{y2}){box['close'] or ''}"

        if self.json:
            text = _OBJECT.sub(rf"{BOX_START}(\1,\2),(\3,\4){BOX_END}", _FENCE.sub("", text))
            text = _CUT_OFF.sub(f"{BOX_START}(", text)
        if not self.pixels:
            return text
        parts = re.split("(</think>|<answer>)", text)  # a name within a thought is not the answer's
        return "".join(_with_boxes(part, len(frames), read, named_after=False) for part in parts)


def _with_boxes(text: str, pictures: int, change: Callable[[re.Match[str], int | None], str], named_after: bool) -> str:
    """The text with each box changed, which is called with its match and the place of its image, if it has one."""
    picture = 0 if pictures == 1 else None
    pieces, end = [], 0
    for element in ELEMENT.finditer(text):
        if element["box"]:
            name = _NAMED_AFTER.match(text, element.end()) if named_after else None
            pieces += [text[end : element.start()], change(element, int(name[1]) - 1 if name else picture)]
            end = element.end()
        elif not element["none"]:
            picture = picture_number(element) - 1
    return "".join([*pieces, text[end:]])


def _numbers(box: re.Match[str]) -> Sequence[str]:
    return box.groups()[2:6]


def _rescaled(corners: Sequence[float], factors: Sequence[float]) -> list[int]:
    """The corners by the factors of x and y, rounded; a side that would vanish is widened, as in `boxes.to_grid`."""
    x1, y1, x2, y2 = corners
    across, down = _side(x1, x2, factors[0]), _side(y1, y2, factors[1])
    return [across[0], down[0], across[1], down[1]]


def _side(low: float, high: float, factor: float) -> tuple[int, int]:
    first, last = round(low * factor), round(high * factor)
    return (floor(low * factor), ceil(high * factor)) if first == last and low < high else (first, last)
