"""Asking a model about pictures of one's own: answers in pixels of the upright picture, and a drawing."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from gemvg_repro.ask import Answer, described, drawing, main, sample_of
from gemvg_repro.files.validation import Refused
from gemvg_repro.grounding.parsing import parse_answer
from gemvg_repro.models.loading import save

from .tiny_model import model_and_processor


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    """Stored lying on its side, 40 pixels wide and 20 high, as a phone does."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20), "green").save(tmp_path / "photo.jpg", exif=exif)
    return tmp_path / "photo.jpg"


def answer(picture: Path, text: str) -> Answer:
    return Answer(sample_of([picture], "Find it."), "direct", text, parse_answer(text, 1))


def test_boxes_are_in_pixels_of_the_upright_picture(photograph: Path) -> None:
    lines = described(answer(photograph, "Picture 1: <|box_start|>(500,0),(1000,250)<|box_end|><|im_end|>"))
    assert "Picture 1: (10, 0) to (20, 10) of 20x40 pixels" in lines


def test_a_hostile_answer_is_printed_and_drawn_as_text(photograph: Path) -> None:
    hostile = answer(photograph, "\x1b[31m$\\frac{ <script>alert(1)</script>")
    assert "\x1b" not in described(hostile) and "not understood" in described(hostile)
    assert drawing([hostile]).axes


def test_both_modes_are_asked_and_drawn(
    photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(*model_and_processor(), tmp_path / "weights")
    assert (
        main([str(tmp_path / "weights"), str(photograph), str(photograph), "Find it.", "--profile", "miniature"]) == 0
    )
    printed = capsys.readouterr().out
    assert "direct: " in printed and "cot: " in printed and "drawn in answer.png" in printed
    with Image.open(tmp_path / "answer.png") as image:
        assert image.width > image.height


def test_what_cannot_be_asked_is_refused(photograph: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Refused, match="the query is empty"):
        sample_of([photograph], " ")
    assert main(["nowhere/at/all", str(photograph), "missing.jpg", "Find it."]) == 2
    assert "missing.jpg" in capsys.readouterr().err
    assert main(["nowhere/at/all", str(photograph), "Find it."]) == 2
    assert "Traceback" not in capsys.readouterr().err
