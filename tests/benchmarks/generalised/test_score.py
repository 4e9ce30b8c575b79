import pandas as pd
import pytest

from gemvg_repro.benchmarks.generalised.score import score, summary
from gemvg_repro.grounding.answers import format_answer
from gemvg_repro.grounding.samples import Target

from ..made import LEFT, RIGHT, sample

SAMPLES = [
    sample("one", (0, LEFT)),
    sample("two", (0, LEFT), (1, RIGHT)),
    sample("none"),
    sample("three", (0, LEFT), (0, RIGHT), (1, LEFT), kind="semantic"),
]


def test_perfect_answers() -> None:
    texts = [format_answer(one.targets) for one in SAMPLES]
    metrics = summary(score(SAMPLES, texts, "direct"))
    assert metrics == {
        **dict.fromkeys(["f1", "f1/referential", "f1/semantic", "precision", "recall", "acc@0.5"], 1.0),
        **dict.fromkeys(["iou", "picture_accuracy", "count_accuracy", "none_accuracy"], 1.0),
        "unreadable": 0.0,
    }


def test_saying_that_there_is_none() -> None:
    metrics = summary(score(SAMPLES, ["none"] * 4, "direct"))
    assert metrics["f1"] == metrics["acc@0.5"] == metrics["recall"] == 0.0
    assert (metrics["none_accuracy"], metrics["iou"], metrics["unreadable"]) == (1.0, 0.25, 0.0)


def test_unreadable_answers_are_no_boxes_and_counted() -> None:
    metrics = summary(score(SAMPLES, ["I see a dog", "", "B", "(1,2"], "direct"))
    assert metrics["unreadable"] == 1.0
    assert metrics["f1"] == metrics["none_accuracy"] == metrics["iou"] == metrics["picture_accuracy"] == 0.0


def test_counts_by_hand() -> None:
    shifted = (0.1, 0.0, 0.5, 1.0)  # against LEFT: .3 of .5
    texts = [
        format_answer([Target(1, LEFT)]),  # the wrong picture
        format_answer([Target(0, shifted), Target(0, LEFT), Target(1, RIGHT)]),  # one too many
        format_answer([Target(1, RIGHT)]),  # there is none
        format_answer([Target(0, LEFT), Target(1, LEFT)]),  # one too few
    ]
    scores = score(SAMPLES, texts, "direct", tokens=[7, 21, 7, 14])
    assert scores["tp"].tolist() == [0, 2, 0, 2]
    assert scores["n_true"].tolist() == [1, 2, 0, 3]
    assert scores["n_predicted"].tolist() == [1, 3, 1, 2]
    assert scores["iou"].tolist() == pytest.approx([0, 2 / 3, 0, 2 / 3])
    assert scores["picture_ok"].tolist() == [False, True, False, True]
    assert scores["tokens"].tolist() == [7, 21, 7, 14]
    metrics = summary(scores)
    assert metrics["f1/referential"] == pytest.approx(2 * 2 / (3 + 5))
    assert metrics["f1/semantic"] == pytest.approx(2 * 2 / (3 + 2))
    assert metrics["f1"] == pytest.approx((0.5 + 0.8) / 2)
    assert metrics["acc@0.5"] == pytest.approx(4 / 6)
    assert metrics["count_accuracy"] == 0.25
    assert metrics["precision"] == pytest.approx((2 / 5 + 1) / 2)


def test_the_matching_is_the_largest_and_not_that_of_the_largest_sum() -> None:
    # IoU .6 and 1 for the first box, 1/3 and .6 for the second: two pairs of .6 are two true positives, while
    # the largest sum is that of 1 and 1/3.
    truth = sample("s", (0, (0.0, 0.0, 0.4, 1.0)), (0, (0.1, 0.0, 0.5, 1.0)), pictures=1)
    text = format_answer([Target(0, (0.1, 0.0, 0.5, 1.0)), Target(0, (0.2, 0.0, 0.6, 1.0))])
    scores = score([truth], [text], "direct")
    assert scores["tp"].tolist() == [2]
    assert scores["iou"].tolist() == pytest.approx([(1 + 1 / 3) / 2])


def test_the_letter_of_a_choice() -> None:
    samples = [sample(name, kind="understanding", choice="B") for name in "abcd"]
    scores = score(samples, ["B", "A", "none", "<think>x</think><answer>B</answer>"], "cot")
    assert scores["correct"].tolist() == [True, False, False, True]
    assert scores["unreadable"].tolist() == [False, False, True, False]
    assert summary(scores) == {"choice_accuracy": 0.5, "unreadable": 0.25}


def test_correct_is_missing_where_boxes_are_asked() -> None:
    scores = score([*SAMPLES, sample("c", kind="understanding", choice="A")], ["none"] * 4 + ["A"], "direct")
    assert scores["correct"].isna().tolist() == [True] * 4 + [False]
    assert list(scores.dtypes.astype(str)) == [
        *["str"] * 4,
        *["int64"] * 4,
        *["float64", "bool", "bool", "boolean", *["int64"] * 3],
    ]
    assert pd.api.types.is_bool_dtype(scores["correct"])


def test_only_the_answer_counts_in_cot_mode() -> None:
    boxes = format_answer([Target(0, LEFT)])
    texts = [
        f"<think>{format_answer([Target(1, RIGHT)])}</think><answer>{boxes}</answer><|im_end|>",
        f"<think>{boxes}",
    ]
    scores = score([SAMPLES[0], SAMPLES[0]], texts, "cot")
    assert scores["tp"].tolist() == [1, 0]
    assert scores["n_predicted"].tolist() == [1, 0]
    assert scores["unreadable"].tolist() == [False, True]
    assert scores["mode"].tolist() == ["cot", "cot"]


def test_as_many_answers_as_samples() -> None:
    with pytest.raises(ValueError):
        score(SAMPLES, ["none"], "direct")


def test_no_samples_have_no_measures() -> None:
    assert summary(score([], [], "direct")) == {}
