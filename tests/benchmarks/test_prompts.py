"""Words beside a benchmark's files take the place of its authors'; what is wrong with them is told."""

from dataclasses import replace
from pathlib import Path

import pytest

from gemvg_repro.benchmarks.prompts import authors_templates, templates_at
from gemvg_repro.benchmarks.registry import benchmark
from gemvg_repro.files.validation import Refused
from gemvg_repro.grounding.prompts import question
from gemvg_repro.grounding.samples import MODES

from .suites import test_mc_bench

OWN = """
mig_bench:
  direct: {text: "{question}!", source: here}
  cot: {text: "Think. {question}", source: here}
"""


def test_own_words_stand_before_the_authors(tmp_path: Path) -> None:
    (tmp_path / "asking.yaml").write_text(OWN)
    (tmp_path / "MIG_data.json").write_text("[]")
    for root in (tmp_path, tmp_path / "MIG_data.json"):
        templates = templates_at(root)
        assert templates.fill("mig_bench", "cot", question="Where is {question}?") == "Think. Where is {question}?"
        assert templates.templates["mig_bench"]["direct"]["source"] == "here"
        assert templates.templates["odinw13"] == authors_templates().templates["odinw13"]
    assert templates_at(tmp_path.parent) is authors_templates()


@pytest.mark.parametrize(
    ("content", "culprit"),
    [
        ("- a list", "the whole: expected an object"),
        ("mig_bench: 3", "mig_bench: expected an object"),
        ("mig_bench: {direct: {text: a, source: b}}", "mig_bench.cot: expected an object, it is missing"),
        (OWN.replace("source: here", "source: 7"), "mig_bench.direct.source: expected text, got 7"),
        (OWN.replace("{question}!", "<|im_end|>"), "control token '<|im_end|>'"),
        (
            OWN.replace("source: here", "source: here, max_new_tokens: 0", 1),
            "mig_bench.direct.max_new_tokens: expected",
        ),
        (
            OWN.replace("source: here", "source: here, max_new_tokens: 9", 1),
            "mig_bench.direct.limit_source: expected text",
        ),
        ("a: [", "cannot be read"),
        ("!!python/object/apply:os.system ['true']", "cannot be read"),
        ("[" * 5000, "cannot be read"),
        ("\0", "cannot be read"),
    ],
)
def test_words_that_are_not_in_order_are_refused(tmp_path: Path, content: str, culprit: str) -> None:
    (tmp_path / "asking.yaml").write_text(content)
    with pytest.raises(Refused) as caught:
        templates_at(tmp_path)
    assert str(tmp_path / "asking.yaml") in str(caught.value) and culprit in str(caught.value)


def test_the_longest_answer_is_that_of_the_authors(tmp_path: Path) -> None:
    names = ("mig_bench", "mc_bench", "odinw13", "odinw13_all", "refcoco+")
    limits = {name: benchmark(name).max_new_tokens("direct", authors_templates()) for name in names}
    assert limits == {"mig_bench": 128, "mc_bench": None, "odinw13": 1024, "odinw13_all": 8192, "refcoco+": None}
    for entry in authors_templates().templates.values():
        assert all(mode.keys() >= {"max_new_tokens", "limit_source"} for mode in entry.values() if len(mode) > 2)
    (tmp_path / "asking.yaml").write_text(
        OWN.replace("source: here", "source: here, max_new_tokens: 9, limit_source: x")
    )
    assert benchmark("mig_bench").max_new_tokens("direct", templates_at(tmp_path)) == 9
    (tmp_path / "asking.yaml").write_text(OWN)
    assert benchmark("mig_bench").max_new_tokens("direct", templates_at(tmp_path)) is None


def test_a_field_that_a_benchmark_does_not_have_is_refused(tmp_path: Path) -> None:
    (tmp_path / "asking.yaml").write_text(OWN.replace("{question}!", "{query}"))
    with pytest.raises(Refused, match=r"mig_bench\.direct\.text: has query in braces; the fields .* are question"):
        templates_at(tmp_path).fill("mig_bench", "direct", question="?")


def test_mc_bench_is_asked_as_our_own_samples_are(tmp_path: Path) -> None:
    suite = benchmark("mc_bench")
    data = suite.load(test_mc_bench.write(tmp_path, test_mc_bench.document()))
    for mode in MODES:
        for sample in suite.samples(data, mode):
            assert sample.prompt == question(replace(sample, prompt=None), mode)
