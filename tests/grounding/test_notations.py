"""A box written in a family's notation and read back is the same, to the grid's step; whatever else is read stays."""

from __future__ import annotations

from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemvg_repro.grounding.answers import format_answer
from gemvg_repro.grounding.boxes import box_error
from gemvg_repro.grounding.notations import Notation, Size
from gemvg_repro.grounding.parsing import parse_answer
from gemvg_repro.grounding.samples import Target

PACKAGE, PIXELS, THOUSANDTHS = Notation(), Notation(json=True, pixels=True), Notation(json=True)
SIZES: list[Size] = [(28, 56), (336, 448), (616, 812), (999, 1000), (1400, 2800)]


@pytest.mark.parametrize("notation", [PACKAGE, THOUSANDTHS, PIXELS], ids=["package", "thousandths", "pixels"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_box_written_and_read_back_differs_by_at_most_the_grid_s_step(notation: Notation, size: Size) -> None:
    """Every coordinate from 0 to 1, next to its neighbour in the grid of thousandths, and far from it. In pixels the
    step is one, in whole thousandths."""
    steps = [ceil(1000 / side) / 1000 if notation.pixels else 0.0 for side in size]
    grid = range(1001)
    corners = [*pairwise(grid), *((low // 2, 1000 - low // 3) for low in grid)]
    for box in ((low / 1000, low / 1000, high / 1000, high / 1000) for low, high in corners):
        text = format_answer([Target(0, box)])
        written = notation.write(text, [size])
        assert (written == text) is (notation is PACKAGE)
        (target,) = parse_answer(notation.read(written, [size]), 1).targets
        assert box_error(target.box) is None
        for n, (value, expected) in enumerate(zip(target.box, box, strict=True)):
            assert abs(value - expected) <= steps[n % 2] + 1e-9, (box, target.box)


def test_pixels_are_those_of_the_picture_that_is_named() -> None:
    frames: list[Size] = [(100, 200), (50, 50)]
    answer = format_answer([Target(0, (0.1, 0.1, 0.5, 0.5)), Target(1, (0.1, 0.1, 0.5, 0.5))])
    written = PIXELS.write(answer, frames)
    assert written == 'Picture 1: {"bbox_2d": [10, 20, 50, 100]}; Picture 2: {"bbox_2d": [5, 5, 25, 25]}'
    assert PIXELS.read(written, frames) == answer
    question = "Picture 1 is old. Follow the object at <|box_start|>(100,100),(500,500)<|box_end|> in Picture 2."
    assert '{"bbox_2d": [5, 5, 25, 25]} in Picture 2' in PIXELS.write(question, frames)
    with pytest.raises(ValueError, match=r"is in none of the 2 pictures.*Name the picture before the box"):
        PIXELS.write("<|box_start|>(1,2),(3,4)<|box_end|>", frames)
    chain = "<think>It is in Picture 2.</think><answer>Picture 1: {}</answer><|im_end|>"
    assert PIXELS.read(chain.format('{"bbox_2d": [10, 20, 50, 100]}'), frames) == chain.format(
        "<|box_start|>(100,100),(500,500)<|box_end|>"
    )
    assert PIXELS.read('<think>Picture 2</think><answer>{"bbox_2d": [9, 9, 10, 10]}</answer>', frames).endswith(
        "<answer><|box_start|>(9,9),(10,10)<|box_end|></answer>"
    ), "it names no picture, as the parser will say"


def test_what_the_families_answer_untrained_is_read() -> None:
    boxes = '{"bbox_2d": [10, 20, 50, 100], "label": "dog"},\n\t{"label": "a", "bbox_2d": [1,2,3,4]}'
    listed = f"```json\n[\n\t{boxes}\n]\n```"
    parsed = parse_answer(PIXELS.read(listed, [(100, 200)]), 1)
    assert [target.box for target in parsed.targets] == [(0.1, 0.1, 0.5, 0.5), (0.01, 0.01, 0.03, 0.02)]
    assert parsed.problems == () and not parsed.exact
    parsed = parse_answer(THOUSANDTHS.read(listed, [(0, 0)]), 1)
    assert parsed.targets[0].box == (0.01, 0.02, 0.05, 0.1)
    corners = "Picture 1: <|box_start|>(10,20),(50,100)<|box_end|>"
    assert parse_answer(PIXELS.read(corners, [(100, 200)]), 1).targets[0].box == (0.1, 0.1, 0.5, 0.5)
    for wrong, problem in (
        ('Picture 1: {"bbox_2d": [10, 20', "a box that cannot be read"),
        ('Picture 1: {"bbox_2d": [10, 20, 500, 100]}', "lies outside"),
        ('Picture 1: {"bbox_2d": [-10, 20, 50, 100]}', "not an integer"),
        ('Picture 1: {"bbox_2d": [50, 20, 10, 100]}', "inverted"),
        ('Picture 4: {"bbox_2d": [10, 20, 50, 100]}', "is in picture 4, but there are 1"),
    ):
        parsed = parse_answer(PIXELS.read(wrong, [(100, 200)]), 1)
        assert not parsed.targets and problem in parsed.problems[0], (wrong, parsed)


@given(
    st.lists(st.sampled_from(['{"bbox_2d": [', "1, 2, 3, 4]}", "(1,2),(3,4)", "{", "Picture 2", "```json", "\n", "a"]))
)
def test_reading_never_raises_and_the_package_s_notation_stays(parts: list[str]) -> None:
    text = "".join(parts)
    PIXELS.read(text, [(100, 50), (10, 10)])
    THOUSANDTHS.read(text, [])
    assert PACKAGE.read(text, []) == PACKAGE.write(text, []) == text


def test_a_hostile_answer_is_read_in_linear_time() -> None:
    for part in ("{", '{"bbox_2d": [', '{"bbox_2d": [1, 2, 3, 4]', "Picture 1: (1,2),(3,4)"):
        PIXELS.read(part * 20_000, [(100, 50)])
