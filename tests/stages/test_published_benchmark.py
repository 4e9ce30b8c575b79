"""A published benchmark put to the miniature's base: answered, kept, resumed, and scored as the command scores it."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from gemvg_repro.benchmarks.score import main
from gemvg_repro.benchmarks.suites import mig_bench_file
from gemvg_repro.files.validation import Refused
from gemvg_repro.models.checkpoints import hashes
from gemvg_repro.runs.directory import Run
from gemvg_repro.runs.layout import MODEL
from gemvg_repro.stages.evaluate import evaluate
from gemvg_repro.study import benchmark_content
from gemvg_repro.study.parameters import EvaluateParameters, ParameterError
from gemvg_repro.study.spec import Resolver, resolve

from ..benchmarks.suites.test_mig_bench_file import RECORDS

BASE = Path(__file__).parents[2] / "gemvg_repro/miniature/base"


def asked(folder: Path, root: Path | None = None, **changes: Any) -> EvaluateParameters:
    benchmarks = {"mig_bench": str(root or folder / "MIG-Bench")}
    given = {"runs": str(folder / "runs"), "checkpoint": str(BASE), "benchmarks": benchmarks}
    return EvaluateParameters.check(given | changes)


def test_answers_are_kept_and_scored_as_the_command_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    annotations = mig_bench_file.export(RECORDS, tmp_path)
    run = evaluate(resolve(asked(tmp_path)))
    predictions = run / "predictions-mig_bench-direct.jsonl"
    whole = predictions.read_text().splitlines()
    assert len(whole) == 1 + len(RECORDS) and (run / "official-mig_bench-cot.json").is_file()
    score = json.loads((run / "official-mig_bench-direct.json").read_text())
    assert score["fingerprint"]["counts"] == {"common_object": 1, "diff": 1, "group_grounding": 1}
    capsys.readouterr()
    assert main(["mig_bench", "--annotations", str(annotations), "--predictions", str(predictions), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == score["official"]
    (run / "result.json").unlink()  # as if it had been stopped with one answer left
    predictions.write_text("\n".join(whole[:-1]) + "\n" + whole[-1][:20])
    assert evaluate(resolve(asked(tmp_path))) == run
    assert predictions.read_text().splitlines() == whole
    assert json.loads((run / "official-mig_bench-direct.json").read_text()) == score


def test_the_result_says_whose_answers_they_are(tmp_path: Path) -> None:
    mig_bench_file.export(RECORDS, tmp_path)
    with Run.open(tmp_path / "runs", "hybrid-s3", {"kind": "train"}) as run:
        shutil.copytree(BASE, run.folder / MODEL)
        known = {"mode": "hybrid", "seed": 3, "prerequisites": {"data": "data-0"}}
        run.finish(known | {"weights": hashes(run.folder / MODEL)})
    for given in (run.folder, run.folder / MODEL):
        result = json.loads((evaluate(resolve(asked(tmp_path, checkpoint=str(given)))) / "result.json").read_text())
        assert (result["mode"], result["seed"]) == ("hybrid", 3)
        assert result["prerequisites"] == {"data": "data-0", "hybrid": run.folder.name}
    result = json.loads((evaluate(resolve(asked(tmp_path))) / "result.json").read_text())
    assert (result["mode"], result["seed"], result["prerequisites"]) == (None, None, {})


def test_another_file_is_another_run(tmp_path: Path) -> None:
    annotations = mig_bench_file.export(RECORDS, tmp_path)
    first = resolve(asked(tmp_path)).identity
    assert first.name == "evaluate-base-mig_bench" and not resolve(asked(tmp_path)).needs
    annotations.write_text(f"{annotations.read_text()} ")
    assert resolve(asked(tmp_path)).identity.id != first.id


def test_files_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And looked at once they are settled; what only looks at runs does not touch them."""
    annotations = mig_bench_file.export(RECORDS, tmp_path)
    look = Resolver(reading="look")
    never = look(asked(tmp_path)).identity
    assert Resolver(reading="read")(asked(tmp_path)).identity != never and not (tmp_path / "runs").exists()
    for file in (tmp_path / "MIG-Bench").rglob("*"):
        os.utime(file, (1e9, 1e9))
    first = resolve(asked(tmp_path)).identity
    assert first != never
    with monkeypatch.context() as patch:
        patch.setattr(benchmark_content, "sha256", None)
        patch.setattr(benchmark_content, "fingerprint", None)
        assert resolve(asked(tmp_path)).identity == Resolver(reading="look")(asked(tmp_path)).identity == first
    annotations.unlink()
    assert Resolver(reading="look")(asked(tmp_path)).identity == first
    with pytest.raises(Refused, match=r"MIG_data.json"):
        resolve(asked(tmp_path))
    mig_bench_file.export(RECORDS, tmp_path)
    next((tmp_path / "MIG-Bench/images").rglob("*.png")).unlink()
    with pytest.raises(Refused, match=r"mig_bench/\d: there is no image .*png"):
        resolve(asked(tmp_path))


def test_the_bytes_of_a_picture_and_the_words_are_part_of_the_id(tmp_path: Path) -> None:
    annotations = mig_bench_file.export(RECORDS, tmp_path)
    ids = {resolve(asked(tmp_path)).identity.id}
    assert ids == {resolve(asked(tmp_path, annotations)).identity.id}  # the file, or the folder that it is in
    (tmp_path / "MIG-Bench/unrelated.png").touch()
    assert resolve(asked(tmp_path)).identity.id in ids
    picture = next((tmp_path / "MIG-Bench/images").rglob("*.png"))
    content = bytearray(picture.read_bytes())
    content[-1] ^= 1  # as many bytes as before
    picture.write_bytes(content)
    ids.add(resolve(asked(tmp_path)).identity.id)
    words = "{text: '{question}', source: here}"
    (tmp_path / "MIG-Bench/asking.yaml").write_text(f"mig_bench: {{direct: {words}, cot: {words}}}")
    ids.add(resolve(asked(tmp_path)).identity.id)
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("benchmarks", "message"),
    [
        ({"mig-bench": "here"}, "did you mean 'mig_bench'"),
        ("mig_bench", "no NAME=PATH; expected such as 'mig_bench=/data/MIG-Bench"),
        ({"mig_bench": "nowhere"}, "mig_bench = .*nowhere' is not there"),
        ({"blink": "exported"}, "blink is said to be exported, and the data of this study exports mig_bench, mc_bench"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_at_once(tmp_path: Path, benchmarks: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        resolve(asked(tmp_path, benchmarks=benchmarks))
