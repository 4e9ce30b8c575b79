"""Limits of answers: the benchmark's own, or the profile's and what the data need; answers that reach one are told."""

import json
from pathlib import Path

import pytest

from gemvg_repro.benchmarks.score import main
from gemvg_repro.benchmarks.suites import mig_bench_file
from gemvg_repro.grounding.answers import format_answer
from gemvg_repro.grounding.samples import Sample, Target
from gemvg_repro.models.processor import load_processor
from gemvg_repro.report.numbers.collect import collect
from gemvg_repro.report.sections import official_scores
from gemvg_repro.stages import tasks as stage
from gemvg_repro.stages.answer_limits import limits_of, longest_true_answer, with_note
from gemvg_repro.stages.evaluate import evaluate
from gemvg_repro.study.parameters import EvaluateParameters
from gemvg_repro.study.profiles import load_profile
from gemvg_repro.study.spec import RunSpec, resolve

from ..benchmarks.made import Plain
from ..benchmarks.suites.test_mig_bench_file import RECORDS

BASE = Path(__file__).parents[2] / "gemvg_repro/miniature/base"
PROFILE = load_profile("miniature")


def crowd(count: int, pictures: int = 2) -> Sample:
    boxes = [(0.04 * n, 0.0, 0.04 * n + 0.02, 0.5) for n in range(count)]
    targets = tuple(Target(pictures - 1, box) for box in boxes)
    return Sample(f"s{count}", "s", "referential", "made", tuple(Plain(n) for n in range(pictures)), "?", targets)


def limits(*tasks: stage.Task) -> dict[str, int]:
    return limits_of(tasks, BASE, PROFILE)


def test_the_benchmark_s_figure_holds_else_what_the_longest_true_answer_needs() -> None:
    processor, own = load_processor(BASE), PROFILE.evaluate.max_new_tokens
    dense = crowd(20)
    needed = len(processor.tokenizer(format_answer(dense.targets, PROFILE.coordinate_step))["input_ids"]) + 1
    assert longest_true_answer([crowd(1), dense], processor, PROFILE.coordinate_step) == needed > own["direct"]
    few, many = (stage.Task("x", "direct", [crowd(1)]), stage.Task("y", "direct", [crowd(1), dense]))
    thought = stage.Task("y", "cot", [dense])
    given = stage.Task("z", "direct", [dense], max_new_tokens=7)
    assert limits(few, many, thought, given) == {
        "x-direct": own["direct"],
        "y-direct": needed,
        "y-cot": own["cot"] + needed - own["direct"],
        "z-direct": 7,
    }


def test_the_miniature_s_exports_keep_its_limits(tmp_path: Path) -> None:
    from gemvg_repro.miniature.exports import benchmarks

    benchmarks.write(tmp_path, 0, PROFILE.data.benchmarks)
    tasks = [
        stage.published(name, mode, tmp_path / name) for name in PROFILE.data.benchmarks for mode in ("direct", "cot")
    ]
    assert set(limits(*tasks[::2]).values()) == {48} and set(limits(*tasks[1::2]).values()) == {96}


def test_an_answer_without_its_end_reached_the_limit() -> None:
    texts = ["none<|im_end|>", "Picture 1: <|box_start|>(1,2),(3", "none<|endoftext|>\n", ""]
    content = with_note({"notes": ["a"]}, texts, 9)
    assert (content["max_new_tokens"], content["responses"], content["reached_limit"]) == (9, 4, 2)
    assert content["notes"] == ["a", "2 of 4 answers reached the limit of 9 tokens and were cut off there"]
    assert with_note({"notes": []}, texts[:1], 9)["notes"] == []


def spec(folder: Path) -> RunSpec[EvaluateParameters]:
    benchmarks = {"mig_bench": str(folder / "MIG-Bench")}
    params = {"runs": str(folder / "runs"), "checkpoint": str(BASE), "benchmarks": benchmarks}
    return resolve(EvaluateParameters.check(params))


def limit_of(answers: RunSpec[EvaluateParameters]) -> int:
    return int(answers.identity.parameters["benchmarks"]["mig_bench"]["direct"]["max_new_tokens"])


def test_a_limit_is_in_the_id_and_beside_the_score_and_in_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mig_bench_file.export(RECORDS, tmp_path)
    first = spec(tmp_path)
    assert limit_of(first) == 128
    own = """mig_bench: {
      direct: {text: "Answer with the boxes only.", source: x, max_new_tokens: 1, limit_source: x},
      cot: {text: "?", source: x}}"""
    (tmp_path / "MIG-Bench/asking.yaml").write_text(own)
    second = spec(tmp_path)
    assert limit_of(second) == 1 and second.identity.id != first.identity.id
    run = evaluate(second)
    score = json.loads((run / "official-mig_bench-direct.json").read_text())
    assert (score["max_new_tokens"], score["responses"], score["reached_limit"]) == (1, 3, 3)
    assert score["notes"] == ["3 of 3 answers reached the limit of 1 tokens and were cut off there"]
    answers = ["--annotations", str(tmp_path / "MIG-Bench/MIG_data.json")]
    assert main(["mig_bench", *answers, "--predictions", str(run / "predictions-mig_bench-direct.jsonl")]) == 0
    assert "note: 3 of 3 answers reached the limit" in capsys.readouterr().out
    collection = collect(tmp_path / "runs")
    from gemvg_repro.report.numbers import table

    notes = official_scores.table(table.numbers(collection), collection).notes
    assert "MIG-Bench, direct prompts, 3 of 3 (limit 1 tokens)" in " ".join(map(str, notes))


@pytest.mark.parametrize("mode", ["sft", "hybrid"])
def test_no_training_s_id_has_it(tmp_path: Path, mode: str) -> None:
    from gemvg_repro.study.parameters import TrainParameters

    identity = resolve(TrainParameters.check({"mode": mode, "runs": str(tmp_path)})).identity
    assert "max_new_tokens" not in identity.parameters
