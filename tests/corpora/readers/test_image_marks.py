"""Marks of images at every place of a conversation become the names that the images are shown under."""

import re
from itertools import combinations_with_replacement

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemvg_repro.corpora.readers.image_marks import MARK, named

WORDS = ["Which", "of:\n- (A)\n- (B)", "`a  =  1`\n\n", "is larger", "here?"]


@pytest.mark.parametrize(("first", "second"), [*combinations_with_replacement(range(3 * len(WORDS)), 2)])
def test_every_place_of_two_marks(first: int, second: int) -> None:
    """In the words of a question, of its answer, and of a second question: before, between and after them."""
    turns: list[list[str]] = [[], [], []]
    expected: list[list[str]] = [[], [], []]
    number = 0
    for place in range(3 * len(WORDS)):
        turn, word = divmod(place, len(WORDS))
        for _ in range((first, second).count(place)):
            number += 1
            turns[turn].append(MARK)
            if turn or expected[turn]:
                expected[turn].append(f"Picture {number}")
        turns[turn].append(WORDS[word])
        expected[turn].append(WORDS[word])
    assert named([" ".join(words) for words in turns]) == [" ".join(words) for words in expected]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["<image>\n<image>\nWhich is larger?", "B"], ["Which is larger?", "B"]),
        (["Is it in <image> or in <image>?", "No."], ["Is it in Picture 1 or in Picture 2?", "No."]),
        (["Query: <image>. (A) <image> (B) <image>", "A"], ["Query: Picture 1. (A) Picture 2 (B) Picture 3", "A"]),
        (["<image>\nWhat is blue? <image>\nAnd red?", "x"], ["What is blue? Picture 2\nAnd red?", "x"]),
        (["<image>\nWhat?", "A cat.", "<image>\nAnd this?", "x"], ["What?", "A cat.", "Picture 2\nAnd this?", "x"]),
        (["<image><image>Which fits?", "<image>"], ["Which fits?", "Picture 3"]),
        (["Compare<image><image>now", "x"], ["Compare Picture 1 Picture 2 now", "x"]),
        (["<image>\n```\nif a:\n    b\n```\n", "1. x\n2. y\n"], ["```\nif a:\n    b\n```", "1. x\n2. y"]),
    ],
)  # fmt: skip
def test_by_hand(texts: list[str], expected: list[str]) -> None:
    assert named(texts) == expected


@given(st.lists(st.lists(st.text(alphabet="ab1 \n\t-.`", max_size=5), min_size=1, max_size=4), min_size=1, max_size=4))
def test_only_marks_change(pieces: list[list[str]]) -> None:
    """The k-th mark is named k or, leading the first question, gone; all else but surrounding spaces stays."""
    texts = [MARK.join(turn) for turn in pieces]
    plain = named(texts)
    leading = len(re.match(rf"(\s*{MARK})*", texts[0])[0].split(MARK)) - 1  # type: ignore[index]
    total = sum(text.count(MARK) for text in texts)
    assert [int(n) for text in plain for n in re.findall(r"Picture (\d+)", text)] == [*range(leading + 1, total + 1)]
    for text, result in zip(texts, plain, strict=True):
        assert re.sub(r"\s|Picture \d+", "", result) == re.sub(rf"\s|{MARK}", "", text)
        if MARK not in text:
            assert result == text.strip()
