"""Formats and parses answers and boxes by the hundred thousand, drawn from a seed: none raises, all come back.

    python -m tools.answer_round_trips 1000000 [--seed 0]

Quicker than hypothesis, which shrinks what it finds; here a failure names the number of the draw, which makes it again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from random import Random

import numpy as np

from gemvg_repro.grounding import boxes as b
from gemvg_repro.grounding.answers import format_answer
from gemvg_repro.grounding.parsing import ParsedAnswer, parse_answer
from gemvg_repro.grounding.rewards import TERMS, Reward
from gemvg_repro.grounding.samples import Mode, Target
from tests.grounding import factories

COORDINATE_STEPS = (1, 10, 20, 50)
CONVENTIONS: tuple[b.Convention, ...] = ("unit", "thousandths", "xyxy", "xywh")
BLOCK = 50
"""Boxes that are compared with each other, all with all."""

_REWARD = Reward(dict.fromkeys(TERMS, 1.0))
_PIECES = (
    *("Picture 1: ", "picture 2", "Image-3: ", "the second image", "none", "B", "; ", ", ", "(", ")", "(12,", "1000"),
    *("<think>", "</think>", "<answer>", "</answer>", "<|box_start|>", "<|box_end|>", "<|im_end|>", "-1", "0.5", "1e9"),
    *("(1,2),(3,4)", "(999,999),(1000,1000)", "\x00", "\x1b[2J", "\u202e", "\ud800", "é", "\n", " ", "9" * 40),
)


def targets(rng: Random, coordinate_step: int) -> list[Target]:
    """Up to six targets in three pictures, whose corners are multiples of the coordinate_step."""
    count = 1000 // coordinate_step

    def side() -> tuple[float, float]:
        low = rng.randrange(count)
        return low * coordinate_step / 1000, rng.randint(low + 1, count) * coordinate_step / 1000

    drawn = []
    for _ in range(rng.randrange(7)):
        (x1, x2), (y1, y2) = side(), side()
        drawn.append(Target(rng.randrange(3), (x1, y1, x2, y2)))
    return sorted(drawn, key=lambda target: (target.picture, target.box))


def written(rng: Random) -> tuple[list[Target], Mode, str]:
    """Targets, and the text of their answer in a mode."""
    truth = targets(rng, coordinate_step := rng.choice(COORDINATE_STEPS))
    text = format_answer(truth, coordinate_step)
    return (
        (truth, "direct", text) if rng.random() < 0.5 else (truth, "cot", f"<think>So.</think><answer>{text}</answer>")
    )


def mutated(rng: Random, text: str) -> str:
    """The text with up to three pieces cut out, put in or doubled."""
    for _ in range(rng.randint(1, 3)):
        at, length = rng.randint(0, len(text)), rng.randint(0, 12)
        insertion = rng.choice((rng.choice(_PIECES), text[at : at + length], ""))
        text = text[:at] + insertion + text[at + rng.choice((0, length)) :]
    return text


def noise(rng: Random) -> str:
    """Pieces of answers in any order, or any characters at all."""
    if rng.random() < 0.7:
        return "".join(rng.choices(_PIECES, k=rng.randint(0, 10)))
    return "".join(chr(rng.randrange(0x110000)) for _ in range(rng.randint(0, 20)))


def check_answer(number: int, seed: int) -> str:
    """Draws and reads one answer, a tenth of them with its reward; returns what kind it was."""
    rng = Random(f"{seed}/{number}")
    truth, mode, text = written(rng)
    kind = rng.choice(("written", "mutated", "noise"))
    if kind != "written":
        text = mutated(rng, text) if kind == "mutated" else noise(rng)
    parsed = parse_answer(text, 3)
    if kind == "written":
        assert parsed == ParsedAnswer(tuple(truth), not truth, None, "So." if mode == "cot" else None, (), True), number
    assert all(0 <= target.picture < 3 for target in parsed.targets), number
    assert parsed.readable or parsed.problems, number
    assert not (parsed.none and parsed.targets), number
    assert all(problem.isprintable() for problem in parsed.problems), number
    if parsed.targets and kind != "written":
        assert parse_answer(format_answer(parsed.targets), 3).targets == tuple(
            sorted(parsed.targets, key=lambda target: (target.picture, target.box))
        ), number
    if number % 10 == 0:
        score = _REWARD(factories.sample(*truth, pictures=3), parsed, mode)
        assert all(0 <= term <= 1 + 1e-9 for term in score.terms.values()), number
        assert kind != "written" or score.total > len(TERMS) - 1e-6, number
    return kind


def check_boxes(block: int, seed: int) -> int:
    """Draws a block of boxes, and as many that are none; returns how many boxes there were."""
    rng = np.random.default_rng([seed, block])
    corners = np.sort(rng.random((BLOCK, 2, 2)) ** rng.choice([1.0, 4.0]), axis=1)
    corners[:, 1] = np.maximum(corners[:, 1], corners[:, 0] + 2e-6)  # every side is longer than box_error's tolerance
    good = corners.reshape(BLOCK, 4)
    size = int(rng.integers(1, 5000)), int(rng.integers(1, 5000))
    for convention in CONVENTIONS:
        back = b.to_unit(factories.written_in(convention, good, size), convention, size)
        assert np.allclose(back, good, rtol=0, atol=1.1e-3 if convention == "thousandths" else 1e-9), (
            block,
            convention,
        )
    for coordinate_step in COORDINATE_STEPS:
        grid = b.to_grid(good, coordinate_step)
        assert (grid % coordinate_step == 0).all() and (grid[:, 2:] > grid[:, :2]).all(), (block, coordinate_step)
        assert (np.abs(grid / 1000 - good.clip(0, 1)) <= coordinate_step / 1000 + 1e-9).all(), (block, coordinate_step)
        assert (b.to_grid(grid / 1000, coordinate_step) == grid).all(), (block, coordinate_step)
    bad = rng.choice([np.nan, np.inf, -np.inf, 0.0, 1.0, -1e300, 1e300, 5e-324, 0.5], (BLOCK, 4))
    for one, other in ((good, good), (good, bad), (bad, bad)):
        iou = b.pairwise_iou(one, other)
        assert ((iou >= 0) & (iou <= 1)).all() and np.allclose(iou, b.pairwise_iou(other, one).T), block
    assert np.allclose(np.diag(b.pairwise_iou(good, good)), 1), block
    return BLOCK


def check(count: int, seed: int = 0) -> Counter[str]:
    """Draws so many answers and so many boxes; how many there were of each kind."""
    counts = Counter(check_answer(number, seed) for number in range(count))
    counts["boxes"] = sum(check_boxes(block, seed) for block in range(-(-count // BLOCK)))
    return counts


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.answer_round_trips",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    began = time.process_time()
    counts = check(arguments.count, arguments.seed)
    print(f"{dict(counts)} in {time.process_time() - began:.1f} s of a core")
    return 0


if __name__ == "__main__":
    sys.exit(main())
