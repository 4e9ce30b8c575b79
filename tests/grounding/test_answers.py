from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemvg_repro.grounding.answers import (
    BOX_END,
    BOX_START,
    LONGEST,
    Reading,
    completion,
    proper,
    read,
    read_ids,
    write,
)
from gemvg_repro.grounding.samples import Mode, Sample, Target

from . import made

bounded = settings(max_examples=200, deadline=None, derandomize=True)

A = Target(0, (0.1, 0.2, 0.3, 0.4))
B = Target(1, (0.5, 0.5, 0.75, 1.0))
TEXT_A = "Picture 1: <|box_start|>(100,200),(300,400)<|box_end|>"
TEXT_B = "Picture 2: <|box_start|>(500,500),(750,1000)<|box_end|>"


def stripped(text: str) -> str:
    """As TRL decodes it: without special tokens."""
    return text.replace(BOX_START, "").replace(BOX_END, "").replace("<|im_end|>", "")


def test_written_by_hand() -> None:
    assert write([]) == "none"
    assert write([B, A]) == f"{TEXT_A}; {TEXT_B}"
    assert write([Target(0, (0.109, 0.111, 0.5, 1.0))], step=20) == (
        "Picture 1: <|box_start|>(100,120),(500,1000)<|box_end|>"
    )


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (Target(0, (0.5, 0.2, 0.3, 0.4)), "inverted"),
        (Target(0, (0.1, 0.2, 0.3, 400.0)), "outside"),
        (Target(0, (0.1, 0.2, 0.1, 0.4)), "no area"),
        (Target(-1, A.box), "before the first"),
    ],
)
def test_what_is_no_target_is_not_written(target: Target, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        write([A, target])


def test_completions_by_hand() -> None:
    two = made.sample(A, B, chain="Both are red.")
    assert completion(two, "direct") == f"{TEXT_A}; {TEXT_B}"
    assert completion(two, "cot") == f"<think>Both are red.</think><answer>{TEXT_A}; {TEXT_B}</answer>"
    assert completion(made.sample(choice="B", chain="Same."), "cot") == ("<think>Same.</think><answer>B</answer>")
    assert completion(made.sample(), "direct") == "none"


@pytest.mark.parametrize(
    ("sample", "why"),
    [
        (made.sample(A), "needs a chain of thought"),
        (made.sample(A, chain=" "), "needs a chain of thought"),
        (made.sample(A, chain="So </think> that"), "needs a chain of thought without <think>"),
        (made.sample(Target(2, A.box), chain="There."), "has 2 pictures"),
        (made.sample(choice="yes", chain="Yes."), "one letter from A to Z, got 'yes'"),
    ],
)
def test_samples_that_cannot_be_said(sample: Sample, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        completion(sample, "cot")


@pytest.mark.parametrize("text", [f"{TEXT_A}; {TEXT_B}", f" {TEXT_A};\n{TEXT_B}\n"])
@pytest.mark.parametrize("end", ["", "<|im_end|>", "<|im_end|><|endoftext|>", "<|im_end|>; Picture 9: junk"])
def test_boxes_are_read_with_and_without_their_tokens(text: str, end: str) -> None:
    assert read(text + end, 2) == Reading(targets=(A, B), exact=True)
    if "junk" not in end:
        assert read(stripped(text), 2) == Reading(targets=(A, B), exact=True)


def test_no_target_and_choices_are_read() -> None:
    assert read("none<|im_end|>", 2) == Reading(none=True, exact=True)
    assert read("B", 2) == Reading(choice="B", exact=True)
    for text in ("b", "(B)", "B.", "b)", " B : "):
        reading = read(text, 2)
        assert (reading.choice, reading.problems) == ("B", ())
    assert read("B. the same", 2).choice == "B"
    assert read("Blue", 2).choice is None


@pytest.mark.parametrize(
    "name",
    [
        *("picture 2", "PICTURE 2 :", "Image-2:", "image 2", "Image_2", "img #2", "photo 2"),
        *(
            "the second image:",
            "In the second picture:",
            "second photo",
            "2nd image",
            "the 2th image",
            "2nd frame:",
        ),
    ],
)
def test_other_names_of_a_picture_are_understood(name: str) -> None:
    reading = read(f"{name} (500,500),(750,1000)", 3)
    assert (reading.targets, reading.problems) == ((B,), ())
    assert not reading.exact


def test_a_box_belongs_to_the_picture_named_last_or_to_the_only_one() -> None:
    box = "(100,200),(300,400)"
    assert read(box, 1) == Reading(targets=(A,))
    assert read(f"Picture 1: {box} {box}; Picture 2: {box}, {box}", 2).targets == (
        *(A, A),
        *(Target(1, A.box), Target(1, A.box)),
    )
    reading = read(f"{box}; Picture 1: {box}", 2)
    assert reading.targets == (A,)
    assert reading.problems == (f"the box '{box}' names no picture",)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("Picture 3: (100,200),(300,400)", "is in picture 3, but there are 2"),
        ("Picture 0: (100,200),(300,400)", "is in picture 0"),
        ("Picture 1: (300,200),(100,400)", "inverted"),
        ("Picture 1: (100,400),(300,200)", "inverted"),
        ("Picture 1: (100,200),(100,400)", "no area"),
        ("Picture 1: (100,200),(300,1001)", "outside"),
        ("Picture 1: (100,200),(300,99999999999999999999)", "outside"),
        ("Picture 1: (-5,200),(300,400)", "not an integer"),
        ("Picture 1: (0.1,0.2),(0.3,0.4)", "not an integer"),
        ("Picture 1: <|box_start|>(100,200),(300", "cannot be read: ' <|box_start|>(100,200),(300'"),
        ("Picture 1: (100,200)", "cannot be read"),
        ("Picture 1: (", "cannot be read"),
        ("Picture 1: (100,200),(300,400", "cannot be read"),
        ("Picture 1: <|box_start|>", "cannot be read"),
        (f"Picture 1: ({'9' * 5000},200),(300,400)", "cannot be read"),
        ("Picture 1: ", "picture 1 is named without a box"),
        ("", "neither a box, nor 'none', nor a letter"),
        ("I cannot see that.", "words that are no part of an answer"),
    ],
)
def test_unreadable_answers_say_why_and_spare_the_rest(answer: str, problem: str) -> None:
    reading = read(answer, 2)
    assert not reading.readable and not reading.targets
    assert problem in "; ".join(reading.problems)
    reading = read(f"{TEXT_B}; {answer}", 2)
    assert reading.readable and reading.targets == (B,)
    assert (problem in "; ".join(reading.problems)) == ("neither" not in problem)


@pytest.mark.parametrize(
    ("answer", "targets", "problem"),
    [
        (f"none; {TEXT_A}", (A,), "boxes and 'none' in one answer"),
        ("none; Picture 9: (1,2),(3,4)", (), "boxes and 'none' in one answer"),
        ("none; Picture 1: (1,", (), "boxes and 'none' in one answer"),
        (f"B. {TEXT_A}", (A,), "a letter and boxes in one answer"),
        (f"{TEXT_A} and so on", (A,), "words that are no part of an answer: ' and so on'"),
        ("Picture 1: <|box_start|>(100,200),(300,400)", (A,), "come in pairs"),
        ("Picture 1: (100,200),(300,400)<|box_end|>", (A,), "come in pairs"),
        ("Picture 2; " + TEXT_A, (A,), "picture 2 is named without a box"),
    ],
)
def test_contradictions_are_problems(answer: str, targets: tuple[Target, ...], problem: str) -> None:
    reading = read(answer, 2)
    assert reading.targets == targets
    assert problem in "; ".join(reading.problems)
    assert not reading.none and reading.readable == bool(targets)


def test_a_thought_is_kept_and_not_read() -> None:
    thought = " Picture 2: (1,2),(3,4), none, B "
    assert read(f"<think>{thought}</think>\n<answer>\n{TEXT_A}\n</answer><|im_end|>", 2) == Reading(
        targets=(A,), thought=thought, exact=True
    )


@pytest.mark.parametrize(
    ("answer", "targets", "problem"),
    [
        (f"<think>x</think>{TEXT_A}", (), "no <answer>"),
        (f"<think>x {TEXT_A}", (), "<think> without </think>"),
        (f"<think>x</think><answer>{TEXT_A}", (A,), "<answer> without </answer>"),
        (f"<think>x<answer>{TEXT_A}</answer>", (A,), "<think> without </think>"),
        (f"x</think><answer>{TEXT_A}</answer>", (A,), "</think> without <think>"),
        (f"<answer>{TEXT_A}</answer>", (A,), "no <think>"),
        (f"<think> </think><answer>{TEXT_A}</answer>", (A,), "the thought is empty"),
        (f"<think><think>x</think><answer>{TEXT_A}</answer>", (A,), "a tag within the thought"),
        (f"<think>x<answer>{TEXT_B}</answer></think><answer>{TEXT_A}</answer>", (A,), "a tag within"),
        (
            f"<think>x</think><answer>{TEXT_A}</answer><answer>{TEXT_B}</answer>",
            (A,),
            "more than one <answer>",
        ),
        (f"<think>x</think><answer>{TEXT_A}<answer>{TEXT_B}</answer>", (A,), "more than one <answer>"),
        (f"<think>x</think>so<answer>{TEXT_A}</answer>", (A,), "text before <answer>: 'so'"),
        (f"so<think>x</think><answer>{TEXT_A}</answer>", (A,), "text before <think>: 'so'"),
        (f"<think>x</think><answer>{TEXT_A}</answer> {TEXT_B}", (A,), "text after </answer>"),
        (f"<think>x</think><answer>{TEXT_A}</think></answer>", (A,), "no part of an answer: '</think>'"),
    ],
)
def test_tags_out_of_place_are_problems(answer: str, targets: tuple[Target, ...], problem: str) -> None:
    reading = read(answer, 2)
    assert reading.targets == targets
    assert problem in "; ".join(reading.problems)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a", "a"),
        ("<think>a</think><answer>b</answer>c", "b"),
        ("<think>a</think><answer>b", "b"),
        ("<answer>b</answer>", "b"),
        ("<think>a", ""),
        ("<think>a<answer>A</answer>", "A"),
        (f"<think>{TEXT_A}</think>", ""),
        (f"{TEXT_A}</think>", ""),
        ("<think>a <answer>A</answer> a</think><answer>B</answer>", "B"),
        ("<think>a <answer>A</answer> a</think>", ""),
        ("<answer>A</answer><think>a</think>", ""),
        ("<think>a</think><answer>A</answer><answer>B</answer>", "A"),
        ("<think>a</think><answer>A<answer>B</answer>", "A"),
    ],
)
def test_the_part_that_counts(text: str, part: str) -> None:
    assert proper(text) == part
    reading, alone = read(text, 2), read(part, 2)
    assert (reading.targets, reading.none, reading.choice) == (alone.targets, alone.none, alone.choice)


def test_ids_that_cannot_be_decoded_are_a_problem() -> None:
    def decode(ids: object) -> str:
        raise OverflowError("out of range")

    reading = read_ids([2**70], decode, 2)
    assert not reading.readable and "out of range" in reading.problems[0]


def test_what_is_no_text_is_a_problem() -> None:
    for thing in (None, 7, b"none"):
        assert read(thing, 2).problems[0].startswith("the answer is no text")  # type: ignore[arg-type]


@pytest.mark.parametrize("sign", ["\x00", "\x1b[2J", "\u202e", "\ufeff", "\ud800", "\u0661", "\U0001f600"])
def test_odd_characters_are_harmless(sign: str) -> None:
    reading = read(f"{TEXT_A}{sign}; {TEXT_B}{sign}", 2)
    assert reading.targets == (A, B)
    assert not reading.exact
    assert all(problem.isprintable() for problem in reading.problems)


HOSTILE = (
    *(
        "(",
        "(1",
        "(1,",
        "(1,2),",
        "(1,2),(",
        "(1,2),(3,4)",
        "1",
        " ",
        "\x00",
        "the ",
        "in the first ",
        "Picture ",
    ),
    *(
        "Picture 1 ",
        BOX_START,
        f"{BOX_START} ",
        "<think>",
        "</think>",
        "<answer>",
        "<answer></answer>",
        "none ",
    ),
    *("1st ", "\ud800", "(" + "9" * 29, f"{TEXT_A}; "),
)


@pytest.mark.parametrize("unit", HOSTILE)
@pytest.mark.parametrize("length", [LONGEST, 4_000_000])
def test_megabytes_of_hostile_text_take_no_time(unit: str, length: int) -> None:
    text = unit * (length // len(unit))
    start = time.process_time()
    reading = read(text, 2)
    assert time.process_time() - start < 1  # measured: below .1 s
    assert sum(map(len, reading.problems)) < 2000
    assert length == LONGEST or "longer than" in reading.problems[0]


@given(made.targets(), st.sampled_from([1, 10, 20, 50]), st.booleans(), st.booleans())
@bounded
def test_what_is_written_is_read_within_the_step(targets: list[Target], step: int, cot: bool, special: bool) -> None:
    sample = made.sample(*targets, pictures=3, chain="Because.")
    text = completion(sample, "cot" if cot else "direct", step)
    reading = read(text if special else stripped(text), 3)
    assert (reading.problems, reading.exact, reading.none) == ((), True, not targets)
    assert reading.thought == ("Because." if cot else None)
    assert write(reading.targets, step) == write(targets, step)
    assert len(reading.targets) == len(targets)
    for target in targets:
        same = [other for other in reading.targets if other.picture == target.picture]
        assert min(_distance(target, other) for other in same) <= step / 1000 + 1e-9


def _distance(one: Target, other: Target) -> float:
    return max(abs(a - b) for a, b in zip(one.box, other.box, strict=True))


FRAGMENTS = (
    *(TEXT_A, TEXT_B, "none", "B", "; ", "<think>", "</think>", "<answer>", "</answer>", BOX_START, BOX_END),
    *(
        "<|im_end|>",
        "Picture 9:",
        "the second image",
        "(1,2)",
        ",(",
        "1000",
        "-1",
        "0.5",
        " ",
        "\n",
        "\x00",
        "é",
    ),
)


@given(
    st.one_of(
        st.text(),
        st.text(st.characters(), max_size=50),  # with lone surrogates
        st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")),
        st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join),
    ),
    st.integers(-1, 4),
)
@bounded
def test_reading_never_raises(text: str, pictures: int) -> None:
    reading = read(text, pictures)
    assert all(0 <= target.picture < pictures for target in reading.targets)
    assert write(reading.targets)  # every target is a box
    assert reading.readable or reading.problems
    assert not (reading.none and reading.targets)


@given(
    made.targets(least=0.01),
    st.integers(0, 200),
    st.integers(0, 5),
    st.text(max_size=5),
    st.sampled_from(["direct", "cot"]),
)
@bounded
def test_a_mutated_answer_is_read_as_far_as_it_goes(
    targets: list[Target], at: int, cut: int, inserted: str, mode: Mode
) -> None:
    text = completion(made.sample(*targets, pictures=3, chain="Because."), mode)
    reading = read(text[:at] + inserted + text[at + cut :], 3)
    assert len(reading.targets) <= len(targets) + 1
    assert reading.readable or reading.problems
