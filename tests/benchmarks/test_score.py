"""The command line, on files of every benchmark's kind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gemvg_repro.benchmarks.fingerprint import fingerprint
from gemvg_repro.benchmarks.prompts import authors_templates
from gemvg_repro.benchmarks.registry import NAMES, benchmark
from gemvg_repro.benchmarks.score import main
from gemvg_repro.benchmarks.suites import mig_bench_file
from gemvg_repro.files.validation import Refused

from . import published
from .suites.test_mc_bench import document
from .suites.test_mc_bench import write as write_mc_bench
from .suites.test_mig_bench_file import RECORDS

ROOT = Path(__file__).parents[2]
DATA = Path("../shared/data").resolve()


def mig_files(folder: Path, *responses: str) -> list[str]:
    annotations = mig_bench_file.export(RECORDS, folder)
    predictions = folder / "answers.jsonl"
    predictions.write_text("".join(json.dumps({"index": n, "response": r}) + "\n" for n, r in enumerate(responses)))
    return ["--annotations", str(annotations), "--predictions", str(predictions)]


def test_mig_bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = mig_files(tmp_path, "Picture 3: (0,0),(400,1000)", "(0,0),(400,1000)", "first image (123,0),(1000,1000)")
    assert main(["mig_bench", *files, "--json", "--store", str(tmp_path / "score.json")]) == 0
    out, err = capsys.readouterr()
    right, wrong = (
        dict.fromkeys(["IOU@0.7", "IOU@0.5", "IOU@0.3", "TOTAL"], 1),
        dict.fromkeys(["IOU@0.7", "IOU@0.5", "IOU@0.3"], 0),
    )
    assert json.loads(out) == {
        "common_object": right | {"AVE_IOU": 1.0},
        "diff": wrong | {"AVE_IOU": 0.0, "TOTAL": 1},
        "group_grounding": right | {"AVE_IOU": 1.0},
    }
    assert "no revision that is known (common_object 1" in err
    stored = json.loads((tmp_path / "score.json").read_text())
    assert stored["beside"]["picture_accuracy"] == {"common_object": 100.0, "diff": None, "group_grounding": 100.0}
    assert stored["beside"]["macro_average"] == pytest.approx(200 / 3)
    assert len(stored["fingerprint"]["sha256"]) == 64
    assert main(["mig_bench", *files]) == 0
    assert "macro average" in capsys.readouterr().out


def test_mc_bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    annotations = write_mc_bench(tmp_path, document())
    predictions = tmp_path / "predictions.json"
    predictions.write_text("[]")
    assert main(["mc_bench", "--annotations", str(annotations), "--predictions", str(predictions), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["official"]["weighted_ap50"] is None and result["corrected"]["image_accuracy"] == 0.5


def test_a_refusal_names_the_file_and_the_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = mig_files(tmp_path, "one", "two")
    assert main(["mig_bench", *files]) == 2
    assert "answers.jsonl: 1 of 3 records have no response" in capsys.readouterr().err
    assert main(["mig-bench", *files]) == 2
    assert "did you mean 'mig_bench'" in capsys.readouterr().err


def test_names_of_strangers_do_not_style_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = published.mibench()
    for row, task in zip(rows, ("[/red]", "\x1b[2J", "\ud800", "[bold]x"), strict=True):
        row["task"] = task
    annotations = published.write_json(tmp_path / "mibench.json", rows)
    answers = tmp_path / "answers.jsonl"
    answers.write_text("".join(json.dumps({"index": n, "response": "No"}) + "\n" for n in range(4)))
    assert main(["mibench", "--annotations", str(annotations), "--predictions", str(answers)]) == 0
    out = capsys.readouterr().out
    assert "[/red]" in out and "\\x1b[2J" in out and "\\ud800" in out and "\x1b[2J" not in out


def test_help_teaches() -> None:
    command = [sys.executable, "-m", "gemvg_repro.benchmarks.score", "--help"]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(
        word in output
        for word in ("--annotations", '{"index"', "COCO result list", "mc_bench", "predictions-NAME-cot.jsonl")
    )


def test_every_benchmark_is_what_it_is_called() -> None:
    for name in NAMES:
        assert benchmark(name).name == name
    with pytest.raises(Refused, match="no benchmark 'mc'"):
        benchmark("mc")


def test_asking_fills_in_once() -> None:
    prompt = authors_templates().fill("mig_bench", "direct", question="Where is {question}? ")
    assert prompt == (
        "Where is {question}? Format:<|box_start|>(x1,y1),(x2,y2)<|box_start|>. Don't generate addtional words."
    )


def test_fingerprints(tmp_path: Path) -> None:
    file = tmp_path / "MIG_data.json"
    file.write_text("[]")
    revised = {"common_object": 815, "group_grounding": 485, "reasoning": 97}
    rest = {"diff": 528, "view_diff": 94, "object_tracking": 550, "multi_view": 288, "region": 1203}
    revision = fingerprint("mig_bench", file, revised | rest | {"refer_grounding": 99, "correspondence": 117})
    assert revision.revision == "UniVG-R1's revised MIG-Bench" and not revision.certain
    assert "its hash is not on record" in (revision.warning or "")
    unknown = fingerprint("mig_bench", file, {"diff": 1})
    assert unknown.revision is None and "diff 1" in (unknown.warning or "")


@pytest.mark.skipif(not DATA.exists(), reason=f"{DATA} is not there")
def test_the_golden_responses_through_the_command(tmp_path: Path) -> None:
    golden = json.loads((DATA / "golden/mig_bench.json").read_text())
    answers = tmp_path / "answers.jsonl"
    lines = (json.dumps({"index": n, "response": text}) for n, text in enumerate(golden["responses"]))
    answers.write_text("\n".join(lines))
    files = ["--annotations", str(DATA / "mig_bench/MIG_data.json"), "--predictions", str(answers)]
    command = [sys.executable, "-m", "gemvg_repro.benchmarks.score", "mig_bench", *files, "--json"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(process.stdout) == golden["expected"]
    assert process.stderr == ""  # the revision is known by its hash
