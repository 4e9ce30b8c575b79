"""Files in the official formats, and scores computed by hand."""

import json
import re
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gemvg_repro.benchmarks.multiple_choice import ChoiceQuestion, numbered
from gemvg_repro.benchmarks.registry import benchmark
from gemvg_repro.benchmarks.score import main
from gemvg_repro.benchmarks.suites import mantis_eval, muirbench
from gemvg_repro.benchmarks.suites.blink import choice_of
from gemvg_repro.files.validation import Refused

from . import published
from .published import write_json, write_parquet


def score(name: str, file: Path, *replies: str) -> Any:
    suite = benchmark(name)
    return suite.score(suite.load(file), replies)


def test_muirbench(tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "test-00000-of-00001.parquet", published.muirbench())
    suite = benchmark("muirbench")
    first, _, third = suite.samples(suite.load(file), "direct")
    assert first.prompt == (
        "Question: How many dogs in all? Picture 1Picture 2\nChoices:\n(A) 1\n(B) 2\n(C) None of the choices provided\n"
        "Hint: Please provide the correct option letter, such as A, B, C, D, directly.\nAnswer:"
    )
    assert "(A) Picture 1\n(B) Picture 2\n" in (third.prompt or "")
    assert (first.choice, len(first.pictures)) == ("B", 2)
    assert np.unique(third.pictures[1].pixels()).tolist() == [2]  # of the second row group
    result = score("muirbench", file, "(B)", "B", "I am sure that it is D .")
    assert result.official == {
        "accuracy": pytest.approx(2 / 3),
        "micro": pytest.approx(2 / 3),
        "macro": pytest.approx(0.75),
        "by_task": {"Counting": 0.5, "Ordering": 1.0},
    }
    assert suite.counts(suite.load(file)) == {"records": 3, "Counting": 2, "Ordering": 1}


def test_muirbench_guesses_as_its_authors_do(tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "a.parquet", published.muirbench())
    guess = Random(42)
    guesses = [guess.choice("ABC") == "B", guess.choice("AB") == "A", guess.choice("ABCD") == "D"]
    result = score("muirbench", file, "well", "", "?")
    assert result.official["micro"] == sum(guesses) / 3
    assert result.beside["unread"] == 3 and result.beside["without_guesses"]["micro"] == 0


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("B", "B"),
        ("B.", "B"),
        ("(A) or (C)? (A).", "A"),
        ("(C) or (A)", "A"),
        ("A B", "B"),
        ("A or B or A ", "A"),
        ("The answer is (B", None),
        ("B) yes", None),
        ("b", None),
        ("I think it should be the small dog", "A"),
        ("small dog", None),
        ("first a big dog, then the small dog, then a BIG DOG", "B"),
    ],
)
def test_the_letter_by_muirbench_s_rule(reply: str, letter: str | None) -> None:
    assert muirbench.letter_of(reply, ["small dog", "big dog", "none"]) == letter


def test_mmiu(tmp_path: Path) -> None:
    for file in (
        write_parquet(tmp_path / "all.parquet", published.mmiu()),
        write_json(tmp_path / "all.json", published.mmiu()),
    ):
        result = score("mmiu", file, " (b). ", "B", "C", "A")
        assert result.official == {
            "accuracy": 0.25,
            "micro": pytest.approx(1 / 3),
            "macro": 0.25,
            "by_task": {"ordering": 0.0, "retrieval": 0.5},
        }
        assert result.beside["unread"] == 0 and result.notes == ()
        assert score("mmiu", file, " ", "model error", "image none", "A").official["accuracy"] == 0
    picture = tmp_path / "Low-level-semantic/t/1.jpg"
    picture.parent.mkdir(parents=True)
    Image.new("RGB", (40, 20)).save(picture)
    suite = benchmark("mmiu")
    sample = suite.samples(suite.load(tmp_path / "all.parquet", most_pixels=50), "cot")[0]
    assert sample.pictures[0].pixels().shape == (5, 10, 3)
    assert (sample.prompt or "").startswith("Question:\nWhich image shows")


def test_blink(tmp_path: Path) -> None:
    write_parquet(tmp_path / "Jigsaw/val-00000-of-00001.parquet", published.blink()[:2])
    write_parquet(tmp_path / "Counting/val-00000-of-00001.parquet", published.blink()[2:])
    hidden = [row | {"answer": "hidden", "idx": "test_Jigsaw_1"} for row in published.blink()]
    write_parquet(tmp_path / "Jigsaw/test-00000-of-00001.parquet", hidden)
    result = score("blink", tmp_path, "B", "(A)", "The second.\n\nIt is (A) then.")
    assert result.official["by_task"] == {"Counting": 1.0, "Jigsaw": 0.5}
    assert (result.official["accuracy"], result.official["micro"]) == (0.75, pytest.approx(2 / 3))
    suite = benchmark("blink")
    counting, jigsaw, _ = suite.samples(suite.load(tmp_path), "direct")
    assert (counting.prompt or "").startswith("Which?") and (jigsaw.prompt or "").startswith("Disclaimer: ")
    assert len(jigsaw.pictures) == 3 and jigsaw.choice == "A"
    with pytest.raises(Refused, match="answers are hidden"):
        suite.load(tmp_path / "Jigsaw/test-00000-of-00001.parquet")


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ("A", "(A)"),
        ("(B)", "(B)"),
        ("(E)", "(E)"),
        (" A", None),
        ("A.", None),
        ("The answer is (B) .", "(B)"),
        ("(A) no (B)", None),
        ("(A) no (B)\n\nso (B) yes", "(B)"),
        ("so (B) it is\n\nbye", "(B)"),
        ("so (C) it is", None),
        ("(B).", None),
    ],
)
def test_the_choice_by_blink_s_rule(reply: str, choice: str | None) -> None:
    assert choice_of(reply, 2) == choice


WORDS = [
    "The second image.",
    "the answer is b",
    "B: the third image",
    "I would choose option B",
    "(B).",
    "**B**",
    "It's (B)!",
    "Answer:B",
    "b",
    "{B}",
    "The third one completes it.",
    "Both look alike, but the one on the right fits, so B!",
]
"""Twelve replies that are right in words and not in letters: BLINK's authors ask GPT about each of them."""


@pytest.mark.parametrize("reply", WORDS)
def test_a_reply_in_words_makes_the_score_of_blink_unofficial(tmp_path: Path, reply: str) -> None:
    file = write_parquet(tmp_path / "val.parquet", published.blink())
    result = score("blink", file, "(A)", reply, "(B)")
    assert result.official["accuracy"] is None and "GPT-3.5" in result.official["reason"]
    low, high = (result.official["bounds"][name] for name in ("all unread wrong", "all unread right"))
    assert (low["accuracy"], high["accuracy"]) == (0.75, 1.0)
    assert result.official["by_task"] == {"Counting": 1.0, "Jigsaw": None}
    assert result.beside["unread"] == 1
    assert not any("official" in row["task"] for row in result.rows)
    assert {name: metric.value for name, metric in result.headline.items()} == {
        "accuracy, all unread wrong": 0.75,
        "accuracy, all unread right": 1.0,
    }
    (note,) = result.notes
    assert "1 of 3 responses" in note and "75.00" in note and "100.00" in note


def test_bounds_and_what_the_authors_extracted_through_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row | {"idx": f"val_Jigsaw_{n}", "answer": "(B)"} for n, row in enumerate(published.blink()[:1] * 12)]
    annotations = write_parquet(tmp_path / "val.parquet", rows)
    lines = [{"index": n, "response": reply} for n, reply in enumerate(WORDS)]
    answers = tmp_path / "answers.jsonl"
    answers.write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = ["blink", "--annotations", str(annotations), "--predictions"]
    assert main([*command, str(answers)]) == 0
    output = capsys.readouterr().out
    assert "(official)" not in output and "no official score: 12 of 12 responses" in output
    assert "is 0.00 if all of them are wrong, 100.00 if all are right" in output
    saved = [{"idx": f"val_Jigsaw_{n}", "answer": "(B)", "full_prediction": r} for n, r in enumerate(WORDS)]
    choices = ["(B)"] * 9 + ["(A)", "(A)", "Z"]
    folder = tmp_path / "GPT"
    write_json(folder / "Jigsaw.json", {"val": [e | {"prediction": c} for e, c in zip(saved, choices, strict=True)]})
    write_json(tmp_path / "final.json", {e["idx"]: choice for e, choice in zip(saved, choices, strict=True)})
    with_choices = tmp_path / "with.jsonl"
    with_choices.write_text(
        "".join(json.dumps(line | {"prediction": c}) + "\n" for line, c in zip(lines, choices, strict=True))
    )
    for file in (folder, folder / "Jigsaw.json", tmp_path / "final.json", with_choices):
        assert main([*command, str(file)]) == 0
        output = capsys.readouterr().out
        assert re.search(r"macro \(official\) +\u2502 12 \u2502 +75\.00", output) and "note: " not in output
    write_json(tmp_path / "final.json", {"val_Jigsaw_0": "(B)"})
    assert main([*command, str(tmp_path / "final.json")]) == 2
    assert "11 of 12 records have no prediction, the first is 'val_Jigsaw_1'" in capsys.readouterr().err
    write_json(tmp_path / "final.json", {"val": [{"idx": "val_Jigsaw_0", "prediction": 3}]})
    assert main([*command, str(tmp_path / "final.json")]) == 2
    assert "val[0].prediction: expected a choice" in capsys.readouterr().err


def test_what_mmiu_s_script_extracted_is_taken(tmp_path: Path) -> None:
    file = write_json(tmp_path / "all.json", published.mmiu())
    answers = tmp_path / "answers.jsonl"
    extracted = ["B", "Z", "a", "GPT error"]
    lines = [{"index": n, "response": "in words", "prediction": each} for n, each in enumerate(extracted)]
    answers.write_text("".join(json.dumps(line) + "\n" for line in lines))
    suite = benchmark("mmiu")
    data = suite.load(file)
    assert suite.score(data, suite.read(answers, data)).official["by_task"] == {"ordering": 1.0, "retrieval": 0.5}
    lines[0] |= {"prediction": "GPT error"}  # their script leaves such a row out
    answers.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert suite.score(data, suite.read(answers, data)).official["by_task"] == {"ordering": 1.0, "retrieval": 0.0}
    words = suite.score(data, ["in words", "Z", "a", "A"])
    assert words.official["accuracy"] is None and words.beside["unread"] == 2
    assert words.official["bounds"]["all unread right"]["by_task"] == {"ordering": 1.0, "retrieval": 1.0}


def test_mibench(tmp_path: Path) -> None:
    file = write_json(tmp_path / "multi_image_instruction.json", published.mibench())
    result = score("mibench", file, "Yes", "no", "Yes.", "No")
    assert result.official["by_task"] == {"general_comparison": 0.5, "subtle_difference": 0.5}
    suite = benchmark("mibench")
    (sample, *_) = suite.samples(suite.load(file), "direct")
    assert sample.prompt == (
        "Picture 1Picture 2\nDo both images show a dog?Please only strictly answer from the choice list: Yes | No"
    )


def test_mantis_eval(tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "test.parquet", published.mantis_eval())
    result = score("mantis_eval", file, "(A) first", "The first", "So. Final Answer: 3")
    assert result.official["by_task"] == {"multi-choice": 0.5, "short-answer": 1.0}
    assert result.official["accuracy"] == pytest.approx(2 / 3)
    suite = benchmark("mantis_eval")
    first, _, third = suite.samples(suite.load(file), "direct")
    assert first.prompt == (
        "Picture 1Picture 2 Which is taller?\n (A) first\n (B) second\n"
        "Answer with the option's letter from the given choices directly."
    )
    assert 'give your final answer as "Final Answer:"' in (third.prompt or "")


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("B", True),
        ("b) it is", True),
        ("Answer: B", True),
        ("Answer: A, not B", False),
        ("The second", False),  # T is no option, and the whole is not the option's text
        ("second", True),
        ("final answer: B", True),
        ("\u00df", False),
        ("", False),
    ],
)
def test_mantis_s_rule(reply: str, right: bool) -> None:
    record = ChoiceQuestion("multi-choice", "?", ("first", "(B) second"), "B", (), {})
    assert mantis_eval.right(record, reply) is right


def test_an_option_said_in_full_is_right_where_no_letter_is() -> None:
    record = ChoiceQuestion("multi-choice", "?", ("(A) 7", "(B) 8"), "B", (), {})
    assert [mantis_eval.right(record, reply) for reply in ("8", " 8 ", "7", "18")] == [True, True, False, False]


def test_markers_are_numbered() -> None:
    assert numbered("<image> and <image>, <IMAGE>") == "Picture 1 and Picture 2, <IMAGE>"


def test_a_huge_stored_photograph_is_scaled(tmp_path: Path) -> None:
    row = published.muirbench()[0] | {"image_list": [published.picture(9, (3000, 2000), "JPEG")]}
    file = write_parquet(tmp_path / "a.parquet", [row])
    suite = benchmark("muirbench")
    (sample,) = suite.samples(suite.load(file, most_pixels=60_000), "direct")
    assert sample.pictures[0].pixels().shape == (200, 300, 3)
