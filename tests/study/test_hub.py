"""A model's name on the Hugging Face hub stands for the snapshot in its cache; without network the error teaches."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub.constants
import pytest

from gemvg_repro.benchmarks.suites import mig_bench_file
from gemvg_repro.files.validation import Refused
from gemvg_repro.stages.evaluate import evaluate
from gemvg_repro.study.hub import checkpoint_folder, commit_of
from gemvg_repro.study.parameters import EvaluateParameters, ParameterError, TrainParameters
from gemvg_repro.study.profiles import load_profile
from gemvg_repro.study.spec import Resolver, resolve

from ..benchmarks.suites.test_mig_bench_file import RECORDS
from ..stages.test_published_benchmark import BASE

NAME, COMMIT = "Somebody/Tiny-Qwen2-VL", "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The repository's folder in an empty cache of the hub, which cannot be reached."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub" / f"models--{NAME.replace('/', '--')}"


def fill(cache: Path, commit: str = COMMIT) -> Path:
    """The miniature's base as the hub's client lays it out: blobs, and links to them in the snapshot of a commit."""
    snapshot = cache / "snapshots" / commit
    for folder in (snapshot, cache / "refs", cache / "blobs"):
        folder.mkdir(parents=True, exist_ok=True)
    (cache / "refs" / "main").write_text(commit)
    for file in BASE.iterdir():
        shutil.copy(file, cache / "blobs" / file.name)
        (snapshot / file.name).symlink_to(Path("../../blobs") / file.name)
    return snapshot


def asked(folder: Path, **changes: str) -> EvaluateParameters:
    given = {
        "runs": str(folder / "runs"),
        "checkpoint": NAME,
        "benchmarks": f"mig_bench='{folder / 'MIG-Bench'}'",
    }
    return EvaluateParameters.check(given | changes)


def test_a_name_is_its_snapshot_and_its_commit_the_identity(tmp_path: Path, cache: Path) -> None:
    snapshot = fill(cache)
    mig_bench_file.export(RECORDS, tmp_path)
    assert checkpoint_folder(NAME) == snapshot
    first = resolve(asked(tmp_path)).identity
    assert first.name == "evaluate-tiny-qwen2-vl-mig_bench"
    assert first.parameters["model"] == f"{NAME}@{COMMIT}"
    run = evaluate(resolve(asked(tmp_path)))
    by_folder = evaluate(resolve(asked(tmp_path, checkpoint=str(BASE))))
    official = [json.loads((each / "official-mig_bench-direct.json").read_text()) for each in (run, by_folder)]
    assert run != by_folder and official[0]["official"] == official[1]["official"]
    fill(cache, COMMIT[::-1])
    assert resolve(asked(tmp_path)).identity.id != first.id


def test_a_base_given_by_name_is_its_commit_too(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = fill(cache)
    profile = load_profile("miniature").model_copy(update={"base": NAME})
    assert checkpoint_folder(profile.base_folder()) == snapshot
    params = TrainParameters.check({"mode": "sft"})
    resolve_with = Resolver(lambda name, _: profile)
    first = resolve_with(params).identity
    assert first.parameters["base"] == f"{NAME}@{COMMIT}"
    fill(cache, COMMIT[::-1])
    assert Resolver(lambda name, _: profile)(params).identity.id != first.id
    shutil.rmtree(cache)
    for missing in (
        lambda: Resolver(lambda name, _: profile)(params).identity,
        lambda: checkpoint_folder(profile.base_folder()),
    ):
        with pytest.raises(Refused, match=rf"hf download {NAME}.*`base` of a profile"):
            missing()


def test_the_commit_of_what_is_not_downloaded_is_the_hubs(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub is out of reach here: its one answer is replaced."""
    monkeypatch.setattr(huggingface_hub, "model_info", lambda name: SimpleNamespace(sha=f"newest of {name}"))
    assert commit_of(NAME) == f"newest of {NAME}"
    fill(cache)
    assert commit_of(NAME) == COMMIT


def test_what_is_not_there_and_cannot_be_had_is_refused_with_what_can_be_done(tmp_path: Path, cache: Path) -> None:
    mig_bench_file.export(RECORDS, tmp_path)
    snapshot = fill(cache)
    (snapshot / "model.safetensors").unlink()  # as when a download was stopped
    for name in (NAME, "Nobody/Nothing"):
        with pytest.raises(Refused, match=rf"'{name}' is no folder here.*\n.*hf download {name}.*-p checkpoint DIR"):
            evaluate(resolve(asked(tmp_path, checkpoint=name)))
        assert [each.name for each in (tmp_path / "runs").iterdir()] == [".jobs"]  # what the benchmark holds


@pytest.mark.parametrize("name", ["nowhere", "a/b/c", "../x", "/x/y", "Qwen/", "Qwen/..", "Qwen/a b"])
def test_what_is_no_name_is_refused_at_once(tmp_path: Path, name: str) -> None:
    mig_bench_file.export(RECORDS, tmp_path)
    with pytest.raises(ParameterError, match="such as Qwen/Qwen2-VL-7B-Instruct"):
        asked(tmp_path, checkpoint=name)
