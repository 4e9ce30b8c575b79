import time

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from gemvg_repro.benchmarks.generalised import score
from gemvg_repro.grounding.samples import GROUNDING_KINDS
from gemvg_repro.miniature.dataset import Recipe, generate
from gemvg_repro.report.numbers.estimates import (
    aligned,
    estimates,
    hit_rate,
    mean,
    percentile,
    replicates,
    wilson,
)
from gemvg_repro.report.numbers.resampling import resampling

from ..synthetic import responses


def table(tp: list[int], true: list[int], predicted: list[int], kind: list[str], scene: list[str]) -> pd.DataFrame:
    n = len(tp)
    return pd.DataFrame(
        {
            "sample": [f"s{i}" for i in range(n)], "scene": scene, "kind": kind, "tp": tp, "n_true": true,
            "n_predicted": predicted, "iou": 0.5, "picture_ok": True, "unreadable": False, "tokens": 7,
        }
    )  # fmt: skip


def many(n: int, scenes: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    kinds: list[str] = [GROUNDING_KINDS[i % 5] for i in range(n)]
    scene = [f"{kinds[i]}-{i % scenes}" for i in range(n)]
    hits = rng.integers(0, 2, n)
    return table(hits.tolist(), [1] * n, [1] * n, kinds, scene)


def test_f1_by_hand() -> None:
    scores = table([1, 0, 2], [1, 1, 2], [1, 2, 3], ["spatial", "spatial", "temporal"], ["a", "b", "c"])
    results = estimates([scores], resampling(scores, 50))
    assert results["spatial", "f1"].value == pytest.approx(2 * 1 / (2 + 3))
    assert results["temporal", "f1"].value == pytest.approx(2 * 2 / (2 + 3))
    assert results["mean", "f1"].value == pytest.approx((0.4 + 0.8) / 2)
    assert results["spatial", "precision"].value == pytest.approx(1 / 3)
    assert results["spatial", "recall"].value == pytest.approx(1 / 2)
    assert results["spatial", "f1"].n == 2


def test_values_are_those_of_the_benchmark() -> None:
    samples = list(generate("test", Recipe(seed=1, validation=1, test=60, understanding_test=0)))
    scores = score.score(samples, responses(samples, "hybrid", "cot", 0), "cot")
    ours, official = estimates([scores], resampling(scores, 10)), score.summary(scores)
    for kind in GROUNDING_KINDS:
        assert ours[kind, "f1"].value == pytest.approx(official[f"f1/{kind}"])
    assert ours["mean", "f1"].value == pytest.approx(official["f1"])
    for metric in ("none_accuracy", "count_accuracy", "picture_accuracy", "iou", "unreadable"):
        assert ours["all", metric].value == pytest.approx(official[metric])


def test_same_seed_same_interval_whatever_the_order() -> None:
    scores = many(200, 200)
    shuffled = scores.sample(frac=1, random_state=1)
    one, two, other = (
        repr(estimates([t], resampling(t, 100, seed=seed))) for t, seed in ((scores, 3), (shuffled, 3), (scores, 4))
    )
    assert one == two != other


def test_bootstrap_agrees_with_the_closed_form_of_a_clustered_mean() -> None:
    # 100 scenes with 3 equal samples each are worth 100 samples, not 300.
    rng = np.random.default_rng(0)
    hits = np.repeat(rng.integers(0, 2, 100), 3)
    scores = table(hits.tolist(), [1] * 300, [1] * 300, ["spatial"] * 300, [f"{i // 3}" for i in range(300)])
    recalls = replicates([scores], resampling(scores, 4000))["spatial", "recall"]
    p = hits.mean()
    assert recalls[1:].std() == pytest.approx(np.sqrt(p * (1 - p) / 100), rel=0.05)


def test_scenes_are_drawn_whole_and_within_kinds() -> None:
    scores = many(100, 10)
    draws = resampling(scores, 200)
    assert draws.draws.shape == (201, 10)
    of_kind = draws.samples.groupby("scene")["kind"].first()
    for kind in GROUNDING_KINDS:
        members = of_kind[of_kind == kind].index.to_numpy()
        assert (draws.draws[:, members].sum(axis=1) == len(members)).all()


def test_intervals_cover() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(120):
        scores = many(150, 150, seed=trial).assign(tp=(rng.random(150) < 0.6).astype(int))
        estimate = estimates([scores], resampling(scores, 200, seed=trial))["mean", "f1"]
        covered += estimate.low <= 0.6 <= estimate.high
    assert 0.90 <= covered / 120 <= 0.99


def test_paired_differences_are_narrower_than_the_intervals_suggest() -> None:
    before = many(400, 400)
    after = before.assign(tp=np.where(np.arange(400) % 10 == 0, 1, before["tp"]))
    draws = resampling(before, 500)
    one, two = (replicates([t], draws)["mean", "f1"] for t in (before, after))
    difference = percentile(two - one, 400)
    assert difference.low > 0
    assert difference.high - difference.low < percentile(one, 400).high - percentile(one, 400).low


def test_seeds_are_averaged() -> None:
    one, two = many(100, 100, seed=1), many(100, 100, seed=2)
    draws = resampling(one, 50)
    values = [estimates([t], draws)["mean", "f1"].value for t in (one, two)]
    assert estimates([one, two], draws)["mean", "f1"].value == pytest.approx(np.mean(values))


def test_constant_samples_are_not_certain() -> None:
    scores = table([1] * 20, [1] * 20, [1] * 20, ["spatial"] * 20, [str(i) for i in range(20)])
    results = estimates([scores], resampling(scores, 50))
    assert (results["spatial", "f1"].low, results["spatial", "f1"].high) == wilson(1.0, 20)
    assert (results["all", "unreadable"].low, results["all", "unreadable"].high) == wilson(0.0, 20)


def test_what_is_not_defined_is_nan() -> None:
    no_boxes = table([0, 0], [0, 0], [0, 0], ["spatial", "spatial"], ["a", "b"])
    results = estimates([no_boxes], resampling(no_boxes, 20))
    assert np.isnan([results["spatial", "f1"].value, results["spatial", "f1"].low]).all()
    assert results["all", "none_accuracy"].value == 1.0
    assert np.isnan(hit_rate(np.array([]), np.array([], dtype=np.int64)).value)


@pytest.mark.parametrize(("hits", "n"), [(200, 200), (0, 30), (8, 10), (130, 411)])
def test_wilson_is_scipys(hits: int, n: int) -> None:
    interval = binomtest(hits, n).proportion_ci(method="wilson")
    assert wilson(hits / n, n) == pytest.approx((interval.low, interval.high))


def test_hit_rate_counts_scenes() -> None:
    hits = np.array([1.0, 0.0, 1.0, 1.0, 0.0] * 8)
    alone = hit_rate(hits, np.arange(40))
    assert (alone.low, alone.high) == pytest.approx(wilson(0.6, 40))
    tripled = hit_rate(np.repeat(hits, 3), np.repeat(np.arange(40), 3))
    assert (tripled.value, tripled.low, tripled.high) == pytest.approx((alone.value, alone.low, alone.high))


def test_mean_agrees_with_the_normal_interval() -> None:
    values = np.random.default_rng(5).normal(3, 2, 2000)
    estimate, error = mean(values, resamples=4000), values.std() / np.sqrt(2000)
    assert estimate.value == values.mean()
    normal = (values.mean() - 1.96 * error, values.mean() + 1.96 * error)
    assert (estimate.low, estimate.high) == pytest.approx(normal, abs=0.15 * error)
    assert np.isnan(mean(np.array([1.0])).low)


def test_other_samples_are_refused() -> None:
    scores = many(20, 20)
    with pytest.raises(ValueError, match="name the grid"):
        aligned(scores.assign(sample=scores["sample"] + "x"), resampling(scores, 5))
    with pytest.raises(ValueError, match="scored twice"):
        resampling(pd.concat([scores, scores]), 5)


def test_a_variant_takes_less_than_a_second() -> None:
    scores = many(2500, 2500)
    start = time.process_time()
    estimates([scores], resampling(scores, 1000))
    assert time.process_time() - start < 1
