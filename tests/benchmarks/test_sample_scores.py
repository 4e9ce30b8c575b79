"""The official number of every suite is the average of its samples' scores; samples of one picture are one scene."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gemvg_repro.benchmarks.averages import averages
from gemvg_repro.benchmarks.interface import Benchmark
from gemvg_repro.benchmarks.registry import benchmark
from gemvg_repro.benchmarks.sample_scores import connected, frame
from gemvg_repro.grounding.answers import format_answer
from gemvg_repro.grounding.samples import Target
from gemvg_repro.miniature.exports import benchmarks as exports
from tests.benchmarks import published

SIZES = {"mig_bench": 3, "mc_bench": 9, "odinw13": 12, "muirbench": 12}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small annotation file, or root, of every suite."""
    folder = tmp_path_factory.mktemp("official")
    exports.write(folder, 0, SIZES)
    made = {name: benchmark(name).annotations(folder / name) for name in SIZES} | {"odinw13_all": folder / "odinw13"}
    for name in ("blink", "mantis_eval"):
        made[name] = published.write_parquet(folder / f"{name}.parquet", getattr(published, name)())
    for name in ("mmiu", "mibench"):
        made[name] = published.write_json(folder / f"{name}.json", getattr(published, name)())
    for name in ("refcoco", "refcoco+", "refcocog"):
        made[name] = published.write_refcoco(folder / name)
    return made


def responses(suite: Benchmark[Any, Any], data: Any) -> list[str]:
    """Right, shifted, doubled, missing: boxes as the truth has them, letters, in turn."""
    texts = []
    for n, sample in enumerate(suite.samples(data, "direct")):
        shifted = [Target(t.picture, (t.box[0], t.box[1], max(t.box[2] - 0.02, t.box[0] + 0.01), t.box[3]))
                   for t in sample.targets]  # fmt: skip
        boxes = [sample.targets, shifted, [*shifted, *sample.targets[:1]], []][n % 4]
        texts.append("ABAC"[n % 4] if sample.choice is not None else format_answer(boxes, 20))
    return texts


@pytest.mark.parametrize("name", [*SIZES, "odinw13_all", "blink", "mmiu", "mibench", "mantis_eval", "refcoco"])
def test_every_official_number_is_the_average_of_its_samples(files: dict[str, Path], name: str) -> None:
    suite = benchmark(name)
    data = suite.load(files[name])
    parsed = suite.parse(data, responses(suite, data))
    rows = frame(suite.sample_scores(data, parsed))
    headline = suite.score(data, parsed).headline
    assert headline
    for metric in headline.values():
        part = rows[rows["of"] == metric.of]
        codes = np.unique(part["scene"], return_inverse=True)[1]
        assert averages(part, metric.average, codes, np.ones((1, codes.max() + 1))) == pytest.approx(metric.value)
    assert not rows.duplicated(["sample", "of", "category"]).any()


def test_samples_that_share_a_key_are_one_scene() -> None:
    assert connected([["a", "b"], ["c"], ["b", "d"], ["d"], ["e"]]) == [0, 1, 0, 0, 2]


def test_questions_about_one_stored_picture_are_one_scene(files: dict[str, Path]) -> None:
    suite = benchmark("blink")
    data = suite.load(files["blink"])
    scores = frame(suite.sample_scores(data, suite.parse(data, ["(A)"] * len(data))))
    assert scores["scene"].nunique() == 1  # the fixture's questions are all about the same three


def test_an_image_drawn_twice_weighs_twice() -> None:
    """Two images, one box each, one of them found: AP50 by hand for three draws."""
    rows = pd.DataFrame({
        "group": "g", "category": 1, "true": 1, "confidences": [(1.0,), (1.0,)], "matched": [(1,), (0,)],
        "ignored": [(0,), (0,)],
    })  # fmt: skip
    draws = np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 2.0], [2.0, 1.0]])
    half, two_thirds = 51 / 101, 67 / 101  # recalls up to a half, up to two thirds, at precision 1
    assert averages(rows, "ap50", np.array([0, 1]), draws) == pytest.approx([half, 1.0, 0.0, two_thirds])
