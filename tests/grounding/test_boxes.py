from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gemvg_repro.grounding import boxes as b
from gemvg_repro.grounding.samples import Box, Target

from . import factories

bounded = settings(max_examples=150, deadline=None, derandomize=True)
wild = hnp.arrays(np.float64, st.tuples(st.integers(0, 4), st.just(4)), elements=st.floats(width=64))
matrices = hnp.arrays(
    np.float64,
    st.tuples(st.integers(0, 4), st.integers(0, 4)),
    elements=st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.6, 0.9, 1.0]),
)


def test_iou_by_hand() -> None:
    a = [(0.0, 0.0, 0.2, 0.2), (0.5, 0.5, 0.7, 0.9)]
    c = [(0.1, 0.0, 0.3, 0.2), (0.5, 0.5, 0.7, 0.9), (0.2, 0.0, 0.4, 0.2)]
    # .02 of .06; the same box; only an edge in common
    assert b.pairwise_iou(a, c) == pytest.approx(np.array([[1 / 3, 0, 0], [0, 1, 0]]))


@pytest.mark.parametrize(
    "bad",
    [
        (0.1, 0.1, 0.1, 0.5),
        (0.5, 0.5, 0.1, 0.1),
        (0.5, 0.1, 0.1, 0.5),
        (0.1, np.nan, 0.5, 0.5),
        (0, 0, np.inf, 1),
    ],
)
def test_what_is_no_box_overlaps_nothing_not_even_itself(bad: Box) -> None:
    assert b.pairwise_iou([bad, (0, 0, 1, 1)], [bad]).tolist() == [[0], [0]]


@given(wild, wild)
@bounded
def test_overlaps_are_bounded_and_symmetric_for_any_numbers(a: b.Boxes, c: b.Boxes) -> None:
    iou = b.pairwise_iou(a, c)
    assert iou.shape == (len(a), len(c)) and ((iou >= 0) & (iou <= 1)).all()
    assert (iou == b.pairwise_iou(c, a).T).all()


@given(factories.boxes())
@bounded
def test_a_box_is_like_itself(box: Box) -> None:
    assert b.pairwise_iou([box], [box])[0, 0] == 1


def test_conventions_by_hand() -> None:
    unit = [[0.25, 0.1, 0.75, 0.4]]
    size = (400, 200)
    same: dict[b.Convention, list[list[float]]] = {
        "xyxy": [[100, 20, 300, 80]],
        "xywh": [[100, 20, 200, 60]],
        "thousandths": [[250, 100, 750, 400]],
        "unit": unit,
    }
    for convention, box in same.items():
        assert b.to_unit(box, convention, size) == pytest.approx(np.array(unit))
    assert b.to_unit([], "xywh", size).shape == (0, 4)


@given(st.lists(factories.boxes(), max_size=3), st.sampled_from(["xyxy", "xywh", "thousandths", "unit"]))
@bounded
def test_conventions_come_back(unit: list[Box], convention: b.Convention) -> None:
    back = b.to_unit(factories.written_in(convention, unit, (640, 427)), convention, (640, 427))
    assert back == pytest.approx(b.as_array(unit), abs=0.001 if convention == "thousandths" else 1e-9)


def test_wrong_conventions_are_explained() -> None:
    with pytest.raises(ValueError, match=r"unknown box convention 'xyhw'.*xyxy, xywh, thousandths, unit"):
        b.to_unit([[0, 0, 1, 1]], "xyhw", (10, 10))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"need the image's \(width, height\).*None"):
        b.to_unit([[0, 0, 1, 1]], "xyxy")
    with pytest.raises(ValueError, match=r"both above 0; got \(0, 10\)"):
        b.to_unit([[0, 0, 1, 1]], "xywh", (0, 10))


@pytest.mark.parametrize(
    ("box", "why"),
    [
        ((0.1, 0.1, 0.2, 0.2), None),
        ((0.0, 0.0, 1.0, 1.0 + 1e-12), None),
        ((0.2, 0.1, 0.1, 0.2), "inverted"),
        ((0.1, 0.1, 0.2, 1.2), "outside"),
        ((-0.1, 0.1, 0.2, 0.2), "outside"),
        ((0.1, 0.1, 0.1, 0.2), "no area"),
        ((0.1, float("nan"), 0.1, 0.2), "not a finite"),
        ((0.1, 0.1, 0.2, float("inf")), "not a finite"),
        ((0.1, 0.1, 0.2), "3 numbers"),
    ],
)
def test_box_errors(box: tuple[float, ...], why: str | None) -> None:
    error = b.box_error(box)
    assert error is None if why is None else error is not None and why in error


def test_grid_by_hand() -> None:
    assert b.to_grid([[0.1234, 0.1236, 0.5, 1.0]]).tolist() == [[123, 124, 500, 1000]]
    assert b.to_grid([[0.109, 0.111, 0.5, 1.0]], coordinate_step=20).tolist() == [[100, 120, 500, 1000]]
    # Sides that would vanish are widened, also at the edges.
    assert b.to_grid([[0.1001, 0.9999, 0.1002, 1.0]]).tolist() == [[100, 999, 101, 1000]]
    with pytest.raises(ValueError, match=r"must divide 1000.*got 30"):
        b.to_grid([[0, 0, 1, 1]], coordinate_step=30)


@given(factories.boxes(), st.sampled_from([1, 10, 20, 50]))
@bounded
def test_grid_keeps_boxes_boxes_and_within_the_step(box: Box, coordinate_step: int) -> None:
    grid = b.to_grid([box], coordinate_step) / 1000
    assert b.box_error(grid[0].tolist()) is None
    assert np.abs(grid - b.as_array([box])).max() <= coordinate_step / 1000 + 1e-9


def test_boxes_of_different_pictures_do_not_overlap() -> None:
    box = (0.1, 0.1, 0.2, 0.2)
    iou = b.target_iou([Target(0, box), Target(1, box)], [Target(1, box)])
    assert iou.tolist() == [[0], [1]]
    assert b.target_iou([], [Target(1, box)]).shape == (0, 1)


def test_the_two_matchings_differ() -> None:
    """.9 + .4 is the larger sum, .5 + .5 the larger number of pairs from .5."""
    iou = np.array([[0.9, 0.5], [0.5, 0.4]])
    assert b.match_by_iou(iou) == [(0, 0), (1, 1)]
    assert b.match_largest(iou, 0.5) == [(0, 1), (1, 0)]
    assert len(b.match_largest(iou, 0.6)) == 1


def test_a_threshold_is_met_exactly_in_spite_of_rounding() -> None:
    iou = b.pairwise_iou([(0.0, 0.0, 0.3, 0.1)], [(0.1, 0.0, 0.4, 0.1)])  # .02 of .04, which is .4999999999999999
    assert iou[0, 0] < 0.5
    assert b.match_largest(iou, 0.5) == [(0, 0)]


def test_a_threshold_must_be_one() -> None:
    for threshold in (0.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="above 0 and at most 1"):
            b.match_largest(np.ones((1, 1)), threshold)


@given(matrices)
@bounded
def test_matchings_are_the_best_of_all(iou: b.Boxes) -> None:
    rows, columns = iou.shape
    square = np.zeros((max(rows, columns, 1),) * 2)
    square[:rows, :columns] = iou
    every = [[square[row, column] for row, column in enumerate(order)] for order in permutations(range(len(square)))]
    by_iou, largest = b.match_by_iou(iou), b.match_largest(iou, 0.5)
    assert sum(iou[pair] for pair in by_iou) == pytest.approx(max(map(sum, every)))
    assert len(largest) == max(sum(value >= 0.5 for value in values) for values in every)
    for pairs in (by_iou, largest):
        assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
        assert all(iou[pair] > 0 for pair in pairs)


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([], []),
        ([(0, 0, 1, 1)], []),
        ([(0, 0, 100, 10), (0, 0, 100, 10), (0, 0, 100, 10)], [1, 2]),
        ([(0, 0, 100, 10), (0, 0, 95, 10)], []),  # IoU .95 exactly
        ([(0, 0, 100, 10), (0, 0, 96, 10)], [1]),
        ([(0, 0, 100, 10), (50, 0, 60, 9), (1, 0, 100, 10), (50, 0, 60, 9)], [2, 3]),
        ([(0, 0, 100, 10), (2, 0, 100, 10), (4, 0, 100, 10), (6, 0, 100, 10)], [1, 2]),  # a chain: the last is new
    ],
)
def test_duplicates_overlap_an_earlier_box_almost_wholly(boxes: list[tuple[int, ...]], expected: list[int]) -> None:
    assert b.duplicates(boxes) == expected


def test_a_box_that_a_file_repeats_ten_thousand_times_takes_little_memory() -> None:
    boxes = np.tile([(0.0, 0.0, 100.0, 10.0), (50.0, 0.0, 60.0, 9.0)], (5_000, 1))
    assert b.duplicates(boxes) == list(range(2, 10_000))
    grid = [(x, 0.0, x + 1.0, 1.0) for x in range(1500)] * 2
    assert b.duplicates(grid) == list(range(1500, 3000))
