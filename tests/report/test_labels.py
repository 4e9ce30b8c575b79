"""Variants with other values than their profile's: names, order and what they are compared with."""

from gemvg_repro.report.labels import look, position, references
from gemvg_repro.study.overrides import variant


def test_a_variant_with_other_values_stands_beside_its_own() -> None:
    one = variant("hybrid", {"grpo.weights.count": 0.0})
    assert look(one).label == "GRPO, hybrid, grpo.weights.count=0" and look(one).colour != look("hybrid").colour
    assert sorted([one, "joint", "hybrid", "sft"], key=position) == ["sft", "hybrid", one, "joint"]
    assert references(one)[:2] == ("hybrid", "cot_sft, grpo.weights.count=0") and "cot_sft" in references(one)
    assert references("sft") == () and references("cot") == ("cot_sft", "sft_more")
