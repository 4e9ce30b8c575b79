from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemvg_repro.files.box_units import BoxUnits

SIZE = 640, 480
Xywh = tuple[float, float, float, float]


def units(boxes: list[Xywh]) -> BoxUnits:
    counts = BoxUnits()
    for box in boxes:
        counts.add(box, *SIZE)
    return counts


def corners(box: Xywh) -> Xywh:
    x, y, width, height = box
    return x, y, x + width, y + height


def centres(box: Xywh) -> Xywh:
    x, y, width, height = box
    return x + width / 2, y + height / 2, width, height


def fractions(box: Xywh) -> Xywh:
    x, y, width, height = box
    return x / SIZE[0], y / SIZE[1], width / SIZE[0], height / SIZE[1]


BOXES: list[Xywh] = [(400, 300, 200, 100), (10, 20, 600, 440), (330, 10, 300, 300), (2, 3, 20, 30)]


def test_boxes_in_pixels_are_as_they_should_be() -> None:
    assert (units(BOXES).not_pixels, units(BOXES).other_reading) == ("", "")
    assert (units([]).not_pixels, units([]).other_reading) == ("", "")


def test_fractions_are_no_pixels() -> None:
    assert "its 4 boxes are not in pixels" in units([fractions(box) for box in BOXES]).not_pixels
    mixed = units([*(fractions(box) for box in BOXES), BOXES[0]])
    assert mixed.not_pixels == ""


@pytest.mark.parametrize(
    ("reading", "outside", "words"),
    [(corners, 2, "none as corners [x1, y1, x2, y2]"), (centres, 3, "none as centres [x, y, width, height]")],
)
def test_another_reading_is_named_with_the_number(reading: Callable[[Xywh], Xywh], outside: int, words: str) -> None:
    message = units([reading(box) for box in BOXES]).other_reading
    assert f"{outside} of 4 boxes lie outside" in message and words in message


def test_one_box_outside_shows_no_other_reading() -> None:
    assert units([*BOXES, (600, 400, 300, 10)]).other_reading == ""


def test_most_boxes_outside_are_told_without_a_reading() -> None:
    message = units([(600, 10, 900, 10), (0, 400, 10, 900), (0, 0, 10, 10)]).other_reading
    assert "2 of 3 boxes lie outside" in message and "in pixels of the images" in message


inside = st.tuples(st.floats(0, 639), st.floats(0, 479), st.floats(0, 1), st.floats(0, 1)).map(
    lambda box: (box[0], box[1], box[2] * (SIZE[0] - box[0]), box[3] * (SIZE[1] - box[1]))
)


@given(st.lists(inside, min_size=1, max_size=8))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_boxes_that_lie_in_their_images_are_never_read_otherwise(boxes: list[Xywh]) -> None:
    counts = units(boxes)
    assert (counts.outside, counts.other_reading) == (0, "")
    assert not counts.not_pixels or max(max(box) for box in boxes) <= 1
    assert units([fractions(box) for box in boxes]).not_pixels
