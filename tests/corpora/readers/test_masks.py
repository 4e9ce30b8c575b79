"""Masks against pycocotools, LZ-strings against lz-string 1.5 (npm) and the samples of Ego-Exo4D's documentation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as reference

from gemvg_repro.corpora.readers.masks import MaskError, box_of, counts_of, lz_decode, lz_encode

from ..made_sources import rectangle, rle

LZ_STRING = {
    "": "Q",
    "=33000a0": "LwZhAZIQ3I",
    "aaaaaaaaaaaa": "IY1lA",
    "hello hello hello": "BYUwNmD2AEoTcpA",
    "\xe9\xff abc \xe9\xff": "Jcf4BAhgRgxmpA",
}
DOCUMENTED = (
    "LYPQ6gxgDAfA2nAjAUygXQPIC4BSAWASQA4AJAThKIIFYAZAZlupwHYcA2AaXoFkAmAHJ8eeWnk7sGAxAN7D60jIMaiFfDDMRQZw9eqhKhRwesQYDpxbs"
    "NaL07VY3mlz-UIe2n+qAc9+f2s62gQEeoT4a4b4R3pGRUQmJBtpJUebBERkhmaHxqfFe9j5mFuYhLgEFgv6auVo6VvYlXkGGlp7VhWb6SjxqQq6y-I31fSL"
    "8fULjJpPyPNTcQ530nHTsNGIcOFgAYmQAIjD7FABGaAAGAPZQQA"
)


def test_the_bowl_of_the_documentation() -> None:
    assert box_of(counts_of(lz_decode(DOCUMENTED)), 1408, 1408) == (447, 765, 447 + 227, 765 + 213)


def test_the_small_mask_by_hand() -> None:
    assert lz_decode("LwZhAZIQ3I") == "=33000a0"
    counts = counts_of("=33000a0")
    assert counts.tolist() == [13, 3, 3, 3, 3, 3, 20]
    assert box_of(counts, 8, 6) == (2, 1, 5, 4)


@pytest.mark.parametrize("plain", LZ_STRING)
def test_the_original_s_strings(plain: str) -> None:
    assert (lz_decode(LZ_STRING[plain]), lz_encode(plain)) == (plain, LZ_STRING[plain])


@given(st.text(st.characters(max_codepoint=255), max_size=300))
def test_what_is_encoded_is_decoded(text: str) -> None:
    assert lz_decode(lz_encode(text)) == text


@settings(max_examples=200)
@given(st.integers(1, 24), st.integers(1, 24), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_any_mask_has_the_box_of_pycocotools(width: int, height: int, seed: int, share: float) -> None:
    mask = np.asfortranarray(np.random.default_rng(seed).random((height, width)) < share * share, dtype=np.uint8)
    encoded = reference.encode(mask)
    counts = counts_of(encoded["counts"])
    box = box_of(counts, width, height)
    if not mask.any():
        assert box is None
        return
    x, y, w, h = reference.toBbox(encoded)
    assert box == (x, y, x + w, y + h)
    assert reference.frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width) == encoded


def test_large_runs_are_as_pycocotools_writes_them() -> None:
    runs = rectangle(1151, 1169, 331, 221, 3840, 2160)
    written = reference.frPyObjects({"size": [2160, 3840], "counts": runs}, 2160, 3840)["counts"]
    assert written.decode() == rle(runs)
    assert box_of(counts_of(written), 3840, 2160) == (1151, 1169, 1482, 1390)


@pytest.mark.parametrize("text", ["", "=3300", "=33000a", "=33000ap", "\x00", "~~~~", "=33000a0 ", "0\u20ac", "o" * 9])
def test_broken_runs_are_refused(text: str) -> None:
    with pytest.raises(MaskError):
        box_of(counts_of(text), 8, 6)


@pytest.mark.parametrize("runs", [[], [48, 1], [-1, 49], [1.5, "x"], [[48]], [10**30]])
def test_runs_that_do_not_add_up_are_refused(runs: list[object]) -> None:
    with pytest.raises(MaskError):
        box_of(runs, 8, 6)  # type: ignore[arg-type]


@settings(max_examples=300)
@given(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-$ *", max_size=60))
def test_no_text_makes_the_decoder_fail_otherwise(text: str) -> None:
    try:
        lz_decode(text)
    except MaskError:
        pass


def test_a_bomb_is_refused() -> None:
    bomb = lz_encode("a" * 3_000_000)
    assert len(bomb) < 10_000
    with pytest.raises(MaskError, match="more than"):
        lz_decode(bomb)
