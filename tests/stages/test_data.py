"""The data run of a small study: the world's sources in official formats, composed; the same wherever it is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gemvg_repro.corpora import shards
from gemvg_repro.corpora.manifest import MANIFEST
from gemvg_repro.files.validation import Refused
from gemvg_repro.grounding.samples import Sample
from gemvg_repro.miniature import dataset
from gemvg_repro.runs.directory import result_of
from gemvg_repro.stages import data, samples
from gemvg_repro.study import content, identity, paths, profiles
from gemvg_repro.study.parameters import DataParameters, EvaluateParameters, TrainParameters
from gemvg_repro.study.spec import resolve
from tools.faults import SMALL, merged


@pytest.fixture(scope="module")
def scales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scales")
    miniature = yaml.safe_load((profiles.FOLDER / "miniature.yaml").read_text())
    (folder / "small.yaml").write_text(yaml.safe_dump(merged(miniature, SMALL)))
    return folder


@pytest.fixture(autouse=True)
def _small(scales: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "FOLDER", scales)


_MAKE = """
import sys
from pathlib import Path
from gemvg_repro.stages.data import make
from gemvg_repro.study import profiles
from gemvg_repro.study.parameters import DataParameters
from gemvg_repro.study.spec import resolve
profiles.FOLDER = Path(sys.argv[1])
make(resolve(DataParameters(profile="small", runs=sys.argv[2])))
"""


@pytest.fixture(scope="module")
def made(scales: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The folders of runs of two processes that hash texts otherwise."""
    folders = []
    for seed in ("1", "2"):
        folders.append(tmp_path_factory.mktemp("runs"))
        command = [sys.executable, "-c", _MAKE, str(scales), str(folders[-1])]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
    return folders


def run_in(runs: Path) -> tuple[Path, dict[str, Any]]:
    (folder,) = runs.glob("data-*")
    result = result_of(folder)
    assert result is not None
    return folder, dict(result)


def load(runs: Path, split: Any, mode: str = "sft") -> list[Sample]:
    return samples.load(resolve(TrainParameters(mode=mode, profile="small", runs=str(runs))), split)


def test_every_process_composes_the_same(made: list[Path]) -> None:
    (one, first), (two, second) = map(run_in, made)
    assert one.name == two.name
    assert {**first, "cost": 0} == {**second, "cost": 0}
    files = [file.relative_to(one) for file in sorted(one.rglob("shards/*.parquet"))]
    assert {file.parts[0] for file in files} == {samples.MG_FOLDER, samples.PROMPTS}
    assert all((one / file).read_bytes() == (two / file).read_bytes() for file in files)


def test_it_says_what_was_composed_of_what(made: list[Path]) -> None:
    _, result = run_in(made[0])
    assert result["source"] == "world" and set(result["sources"]) == {"coco", "d3", "egoexo4d", "mvtrack", "star"}
    assert all(source["skipped"] == {} for source in result["sources"].values())
    assert all(cell["short"] == 0 for cell in result["cells"].values())
    assert set(result["counts"]) == {"train", *dataset.SPLITS}
    assert result["counts"]["train"]["samples"] > 3 * result["counts"]["train"]["scenes"]


def test_a_moved_run_is_trained_on(made: list[Path], tmp_path: Path) -> None:
    before, _ = run_in(made[1])
    there = tmp_path / before.name
    shutil.copytree(before, there)
    manifest = there / samples.MG_FOLDER / "shards" / MANIFEST
    manifest.write_text(manifest.read_text().replace(str(made[1]), "/nowhere"))
    trained = load(tmp_path, "train")
    assert all(p.pixels().shape == (64, 64, 3) for s in trained[:20] for p in s.pictures)
    assert there == resolve(DataParameters(profile="small", runs=str(tmp_path))).folder


def test_stages_share_scenes_as_the_recipe_says(made: list[Path]) -> None:
    scenes = {}
    for mode in ("sft", "cot_sft", "sft_more", "hybrid"):
        trained = load(made[0], "train", mode)
        scenes[mode] = list(dict.fromkeys(s.scene for s in trained))
        assert all(s.chain for s in trained)
    assert scenes["sft"] == scenes["cot_sft"] == scenes["sft_more"]  # one order: each continues where one stopped
    assert not {*scenes["sft"]} & {*scenes["hybrid"]} and len(scenes["hybrid"]) == 40
    assert len(load(made[0], "test")) == 50


def test_no_picture_is_trained_on_that_is_chosen_or_tested_on_nor_a_prompt_of_grpo_about_one_of_sft(
    made: list[Path],
) -> None:
    sft, grpo = _pictures(made[0], "train"), _pictures(made[0], "train", "hybrid")
    held = _pictures(made[0], "validation") | _pictures(made[0], "test")
    assert len(sft) > 300 and len(grpo) > 20 and len(held) > 150 and not (sft & held or grpo & held or sft & grpo)


def test_fewer_prompts_than_grpo_takes_are_refused_before_work_begins(made: list[Path]) -> None:
    params = TrainParameters(mode="hybrid", profile="small", runs=str(made[0]), steps=21)
    with pytest.raises(Refused, match=r"has 40 prompts for GRPO, whose 21 steps of 2 take 42 distinct ones"):
        data.check(resolve(params))


def _pictures(runs: Path, split: Any, mode: str = "sft") -> set[bytes]:
    pictures = {picture for sample in load(runs, split, mode) for picture in sample.pictures}
    return {picture.pixels().tobytes() for picture in pictures}


def test_the_id_follows_the_recipe_and_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = DataParameters(profile="small")
    package = tmp_path / "package"
    (package / "miniature").mkdir(parents=True)
    (package / "corpora").mkdir()
    (package / "miniature" / "base").symlink_to(paths.PACKAGE / "miniature" / "base")
    for name in ("recipe.yaml", "wording.yaml"):
        shutil.copy(paths.PACKAGE / "miniature" / name, package / "miniature" / name)
    ids = [resolve(params).identity.id]
    for module in (content, identity):
        monkeypatch.setattr(module, "PACKAGE", package)
    ids.append(resolve(params).identity.id)
    assert ids[0] == ids[1]
    for name in ("recipe.yaml", "wording.yaml"):
        file = package / "miniature" / name
        file.write_text(file.read_text() + "\n# another\n")
        ids.append(resolve(params).identity.id)
    assert len({*ids}) == 3
    trained = resolve(TrainParameters(profile="small")).identity.id
    file.write_text(file.read_text() + "\n# and another\n")
    assert resolve(TrainParameters(profile="small")).identity.id != trained
    json.dumps(resolve(params).identity.parameters)


def test_prompts_are_counted_as_they_are_trained_on(made: list[Path]) -> None:
    composed = run_in(made[0])[0] / samples.PROMPTS / samples.MG_FOLDER / "shards"
    assert shards.prompts(composed) == len(list(shards.conversations(composed, "grpo", "train"))) > 0


def test_data_that_holds_nothing_out_is_refused_before_a_model_answers(
    made: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    composed = run_in(made[0])[0] / samples.MG_FOLDER / "shards"
    monkeypatch.setattr(shards, "split_of", lambda source, scene: "train")
    params = EvaluateParameters(profile="small", runs=str(tmp_path), data=str(composed))
    with pytest.raises(Refused, match=r"has no validation samples.*one scene in fifty"):
        samples.held_out(resolve(params))
