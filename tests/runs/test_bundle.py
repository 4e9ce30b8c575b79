"""A bundle brings finished runs elsewhere without their weights, and nothing that is no run."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gemvg_repro.files.validation import Refused
from gemvg_repro.runs import bundle
from gemvg_repro.runs.directory import Run, run_id
from gemvg_repro.runs.json_files import RunError

SCORES = "scores-generalised-cot.parquet"
PICTURES = ("gallery/00-1.png", "gallery/00-2.jpeg")


def make(root: Path, name: str = "evaluate-hybrid-s0", task: str = SCORES, finished: bool = True) -> Path:
    """A run with all that a bundle keeps, and with what it leaves out."""
    with Run.open(root, name, {"seed": name}) as run:
        for file in (SCORES, "log.jsonl", *PICTURES, "model/model.safetensors", "predictions-x-cot.jsonl"):
            (run.folder / file).parent.mkdir(exist_ok=True)
            (run.folder / file).write_bytes(file.encode() * 50)
        if finished:
            run.finish({"tasks": [{"benchmark": "generalised", "mode": "cot", "scores": task, "official": None}]})
        return run.folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_what_was_written_is_read_elsewhere_and_weights_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = make(tmp_path / "a"), make(tmp_path / "a", "hybrid-s1", finished=False)
    (run / "link.json").symlink_to("/etc/passwd")
    files = [tmp_path / name for name in ("one.tar.xz", "two.tar.xz")]
    for file in files:
        assert bundle.main(["write", str(tmp_path / "a"), str(file)]) == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    assert bundle.main(["read", str(files[0]), str(tmp_path / "b")]) == 0
    kept = {"result.json", "parameters.json", "environment.json", "log.jsonl", SCORES, *PICTURES}
    assert contents(tmp_path / "b") == {f"{run.name}/{name}": (run / name).read_bytes() for name in kept}
    assert bundle.read(files[0], tmp_path / "b") == []  # it is there
    assert "1 runs" in capsys.readouterr().out


def test_a_run_that_was_begun_stays_as_it_is(tmp_path: Path) -> None:
    make(tmp_path / "a")
    bundle.write(tmp_path / "a", tmp_path / "runs.tar.xz")
    begun = make(tmp_path / "b", finished=False)
    before = contents(begun)
    with pytest.raises(Refused, match="was begun here"):
        bundle.read(tmp_path / "runs.tar.xz", tmp_path / "b")
    assert contents(begun) == before and [path.name for path in (tmp_path / "b").iterdir()] == [begun.name]


ID = run_id({"seed": 1})
RUN = f"sft-s1-{ID}"
FINISHED = {f"{RUN}/result.json": json.dumps({"id": ID}), f"{RUN}/parameters.json": json.dumps({"id": ID, "seed": 1})}


def tar(file: Path, members: Mapping[str, str], **special: Any) -> Path:
    """A bundle by hand, with one more entry whose fields are `special`."""
    with tarfile.open(file, "w:xz") as archive:
        for name, text in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
        if special:
            entry = tarfile.TarInfo()
            for field, value in special.items():
                setattr(entry, field, value)
            archive.fileobj.write(entry.tobuf())
    return file


def with_task(name: str) -> dict[str, str]:
    tasks = [{"benchmark": "x", "mode": "cot", "scores": name, "official": None}]
    return {**FINISHED, f"{RUN}/result.json": json.dumps({"id": ID, "tasks": tasks})}


@pytest.mark.parametrize(
    ("members", "special", "why"),
    [
        ({**FINISHED, "../log.jsonl": "x"}, {}, "no file that a bundle holds"),
        ({**FINISHED, f"/{RUN}/log.jsonl": "x"}, {}, "no file that a bundle holds"),
        ({**FINISHED, f"{RUN}/gallery/../../log.jsonl": "x"}, {}, "no file that a bundle holds"),
        ({**FINISHED, f"{RUN}/model/model.safetensors": "x"}, {}, "no file that a bundle holds"),
        (FINISHED, {"name": f"{RUN}/log.jsonl", "type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "no file that"),
        (FINISHED, {"name": f"{RUN}/log.jsonl", "size": 2**32}, "4,294,967,296 bytes, after 2 files"),
        (FINISHED, {"name": f"{RUN}/log.jsonl", "size": 2**24}, "not a whole one"),
        (with_task("../../secret.parquet"), {}, "which its result names"),
        (with_task("scores-x.parquet"), {}, "which its result names"),
        ({f"{RUN}/parameters.json": FINISHED[f"{RUN}/parameters.json"]}, {}, "is not finished"),
    ],
)
def test_what_is_no_bundle_is_refused_and_leaves_nothing(
    members: Mapping[str, str], special: dict[str, Any], why: str, tmp_path: Path
) -> None:
    file = tar(tmp_path / "runs.tar.xz", members, **special)
    with pytest.raises(Refused, match=why):
        bundle.read(file, tmp_path / "runs")
    assert list((tmp_path / "runs").iterdir()) == []


def test_an_edited_a_cut_and_an_inflated_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edited = {**FINISHED, f"{RUN}/parameters.json": json.dumps({"id": ID, "seed": 2})}
    with pytest.raises(RunError, match="it was edited"):
        bundle.read(tar(tmp_path / "edited.tar.xz", edited), tmp_path / "runs")
    whole = tar(tmp_path / "whole.tar.xz", {**FINISHED, f"{RUN}/log.jsonl": " " * 2**20})
    cut = tmp_path / "cut.tar.xz"
    cut.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(Refused, match="cut off"):
        bundle.read(cut, tmp_path / "runs")
    monkeypatch.setattr(bundle, "MOST_BYTES", 2**19)
    with pytest.raises(Refused, match="larger than 524,288 bytes"):
        bundle.read(whole, tmp_path / "runs")
    assert list((tmp_path / "runs").iterdir()) == []
    assert bundle.main(["write", str(tmp_path / "nowhere"), str(whole)]) == 2
