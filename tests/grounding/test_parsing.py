from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemvg_repro.grounding.answers import BOX_END, BOX_START, completion, format_answer
from gemvg_repro.grounding.parsing import MAX_CHARACTERS, ParsedAnswer, final_answer, parse_answer, parse_ids
from gemvg_repro.grounding.samples import Mode, Target

from . import factories
from .factories import TEXT_A, TEXT_B, A, B

bounded = settings(max_examples=200, deadline=None, derandomize=True)


def stripped(text: str) -> str:
    """As TRL decodes it: without special tokens."""
    return text.replace(BOX_START, "").replace(BOX_END, "").replace("<|im_end|>", "")


@pytest.mark.parametrize("text", [f"{TEXT_A}; {TEXT_B}", f" {TEXT_A};\n{TEXT_B}\n"])
@pytest.mark.parametrize("end", ["", "<|im_end|>", "<|im_end|><|endoftext|>", "<|im_end|>; Picture 9: junk"])
def test_boxes_are_parsed_with_and_without_their_tokens(text: str, end: str) -> None:
    assert parse_answer(text + end, 2) == ParsedAnswer(targets=(A, B), exact=True)
    if "junk" not in end:
        assert parse_answer(stripped(text), 2) == ParsedAnswer(targets=(A, B), exact=True)


def test_no_target_and_choices_are_parsed() -> None:
    assert parse_answer("none<|im_end|>", 2) == ParsedAnswer(none=True, exact=True)
    assert parse_answer("B", 2) == ParsedAnswer(choice="B", exact=True)
    for text in ("b", "(B)", "B.", "b)", " B : "):
        parsed = parse_answer(text, 2)
        assert (parsed.choice, parsed.problems) == ("B", ())
    assert parse_answer("B. the same", 2).choice == "B"
    assert parse_answer("Blue", 2).choice is None


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
def test_other_names_of_a_picture_are_parsed(name: str) -> None:
    parsed = parse_answer(f"{name} (500,500),(750,1000)", 3)
    assert (parsed.targets, parsed.problems) == ((B,), ())
    assert not parsed.exact


def test_a_box_belongs_to_the_picture_named_last_or_to_the_only_one() -> None:
    box = "(100,200),(300,400)"
    assert parse_answer(box, 1) == ParsedAnswer(targets=(A,))
    assert parse_answer(f"Picture 1: {box} {box}; Picture 2: {box}, {box}", 2).targets == (
        *(A, A),
        *(Target(1, A.box), Target(1, A.box)),
    )
    parsed = parse_answer(f"{box}; Picture 1: {box}", 2)
    assert parsed.targets == (A,)
    assert parsed.problems == (f"the box '{box}' names no picture",)


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
    parsed = parse_answer(answer, 2)
    assert not parsed.readable and not parsed.targets
    assert problem in "; ".join(parsed.problems)
    parsed = parse_answer(f"{TEXT_B}; {answer}", 2)
    assert parsed.readable and parsed.targets == (B,)
    assert (problem in "; ".join(parsed.problems)) == ("neither" not in problem)


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
    parsed = parse_answer(answer, 2)
    assert parsed.targets == targets
    assert problem in "; ".join(parsed.problems)
    assert not parsed.none and parsed.readable == bool(targets)


def test_a_thought_is_kept_and_not_parsed() -> None:
    thought = " Picture 2: (1,2),(3,4), none, B "
    assert parse_answer(f"<think>{thought}</think>\n<answer>\n{TEXT_A}\n</answer><|im_end|>", 2) == ParsedAnswer(
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
    parsed = parse_answer(answer, 2)
    assert parsed.targets == targets
    assert problem in "; ".join(parsed.problems)


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
    assert final_answer(text) == part
    parsed, alone = parse_answer(text, 2), parse_answer(part, 2)
    assert (parsed.targets, parsed.none, parsed.choice) == (alone.targets, alone.none, alone.choice)


def test_ids_that_cannot_be_decoded_are_a_problem() -> None:
    def decode(ids: object) -> str:
        raise OverflowError("out of range")

    parsed = parse_ids([2**70], decode, 2)
    assert not parsed.readable and "out of range" in parsed.problems[0]


def test_what_is_no_text_is_a_problem() -> None:
    for thing in (None, 7, b"none"):
        assert parse_answer(thing, 2).problems[0].startswith("the answer is no text")  # type: ignore[arg-type]


@pytest.mark.parametrize("sign", ["\x00", "\x1b[2J", "\u202e", "\ufeff", "\ud800", "\u0661", "\U0001f600"])
def test_odd_characters_are_harmless(sign: str) -> None:
    parsed = parse_answer(f"{TEXT_A}{sign}; {TEXT_B}{sign}", 2)
    assert parsed.targets == (A, B)
    assert not parsed.exact
    assert all(problem.isprintable() for problem in parsed.problems)


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
@pytest.mark.parametrize("length", [MAX_CHARACTERS, 4_000_000])
def test_megabytes_of_hostile_text_take_no_time(unit: str, length: int) -> None:
    text = unit * (length // len(unit))
    start = time.process_time()
    parsed = parse_answer(text, 2)
    assert time.process_time() - start < 1  # measured: below .1 s
    assert sum(map(len, parsed.problems)) < 2000
    assert length == MAX_CHARACTERS or "longer than" in parsed.problems[0]


@given(factories.targets(), st.sampled_from([1, 10, 20, 50]), st.booleans(), st.booleans())
@bounded
def test_what_is_written_is_parsed_within_the_step(
    targets: list[Target], coordinate_step: int, cot: bool, special: bool
) -> None:
    sample = factories.sample(*targets, pictures=3, chain="Because.")
    text = completion(sample, "cot" if cot else "direct", coordinate_step)
    parsed = parse_answer(text if special else stripped(text), 3)
    assert (parsed.problems, parsed.exact, parsed.none) == ((), True, not targets)
    assert parsed.thought == ("Because." if cot else None)
    assert format_answer(parsed.targets, coordinate_step) == format_answer(targets, coordinate_step)
    assert len(parsed.targets) == len(targets)
    for target in targets:
        same = [other for other in parsed.targets if other.picture == target.picture]
        assert min(_distance(target, other) for other in same) <= coordinate_step / 1000 + 1e-9


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
def test_parsing_never_raises(text: str, pictures: int) -> None:
    parsed = parse_answer(text, pictures)
    assert all(0 <= target.picture < pictures for target in parsed.targets)
    assert format_answer(parsed.targets)  # every target is a box
    assert parsed.readable or parsed.problems
    assert not (parsed.none and parsed.targets)


@given(
    factories.targets(min_side=0.01),
    st.integers(0, 200),
    st.integers(0, 5),
    st.text(max_size=5),
    st.sampled_from(["direct", "cot"]),
)
@bounded
def test_a_mutated_answer_is_parsed_as_far_as_it_goes(
    targets: list[Target], at: int, cut: int, inserted: str, mode: Mode
) -> None:
    text = completion(factories.sample(*targets, pictures=3, chain="Because."), mode)
    parsed = parse_answer(text[:at] + inserted + text[at + cut :], 3)
    assert len(parsed.targets) <= len(targets) + 1
    assert parsed.readable or parsed.problems
