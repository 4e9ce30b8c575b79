"""Faults that are seeded one by one: each is named, with what to do in numbers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from gemvg_repro.preflight.checks import Finding, Question, findings
from gemvg_repro.preflight.estimates import GiB
from gemvg_repro.preflight.machine import Machine
from gemvg_repro.study import hub, profiles
from gemvg_repro.study.resources import Needs
from tools.faults import merged

from .. import tiny_model

NODE = Machine(
    gpus=8, gpu_memory=139 * GiB, named=True, bf16=True, host_memory=1.5e12, disk=2e12, write_rate=1.2e9,
    versions={"torch": "2.13.0"}, pinned={"torch": "==2.13.0"}, compiler="/usr/bin/gcc",
)  # fmt: skip
NEEDS = Needs(mem_gb=600, timeout_min=1440)


@pytest.fixture
def question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Question:
    """A whole set-up: the paper's profile with a small base and a file of annotations, on a node of eight H200."""
    shutil.copytree(tiny_model.folder(), tmp_path / "base")
    seed(tmp_path, monkeypatch, {})
    (tmp_path / "data").mkdir()
    from ..stages.test_paper_path import coco_file

    return Question("paper", NODE, 8, coco_file(tmp_path / "data"), NEEDS, kinds=())


def seed(folder: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]) -> None:
    """Writes the paper's profile with changes, and has it be read."""
    paper = yaml.safe_load((Path(profiles.__file__).parent / "scales/paper.yaml").read_text())
    (folder / "scales").mkdir(exist_ok=True)
    content = yaml.safe_dump(merged(paper, {"base": str(folder / "base")} | changes))
    (folder / "scales/paper.yaml").write_text(content)
    monkeypatch.setattr(profiles, "FOLDER", folder / "scales")


def failed(question: Question) -> list[Finding]:
    return [finding for finding in findings(question) if not finding.passed]


def test_nothing_is_wrong_with_a_whole_set_up(question: Question) -> None:
    assert failed(question) == []


@pytest.mark.parametrize(
    ("change", "check", "words"),
    [
        ({"versions": {"torch": "2.12.1"}}, "versions", "torch 2.12.1 where ==2.13.0 is pinned"),
        ({"compiler": None}, "compiler", "apt install gcc python3-dev"),
        ({"gpus": 4}, "devices", "8 GPUs are asked for, and there are 4: --gpus 4"),
        ({"gpus": 0}, "devices", "--gpus 1 --memory 141"),
        ({"bf16": False}, "devices", "do not compute in bfloat16"),
        ({"disk": 1e5}, "disk", "--runs DIR on a larger disk"),
    ],
)
def test_faults_of_the_machine(question: Question, change: dict[str, Any], check: str, words: str) -> None:
    (finding,) = failed(replace(question, machine=replace(NODE, **change)))
    assert finding.check == check and words in finding.text


@pytest.mark.parametrize(
    ("change", "check", "words"),
    [
        ({"processes": 3, "machine": replace(NODE, gpus=3)}, "batches", "--gpus 1, 2, 4, 8"),
        ({"needs": Needs(mem_gb=6)}, "host memory", "mem_gb "),
        ({"data": Path("/nowhere")}, "data", "there is no /nowhere"),
        ({"data": None}, "data", "--data FOLDER"),
        ({"profile": "papr"}, "configuration", "no profile 'papr'; there are paper"),
    ],
)
def test_faults_of_what_is_asked(question: Question, change: dict[str, Any], check: str, words: str) -> None:
    (finding,) = failed(replace(question, **change))
    assert finding.check == check and words in finding.text


def lack_shard(folder: Path) -> None:
    (folder / "base/model.safetensors").unlink()


def lack_pictures(folder: Path) -> None:
    (folder / "data/3.png").unlink()


def forget_names(folder: Path) -> None:
    """A template that gives images no names."""
    template = "{% for m in messages %}{% for c in m.content %}{% if c.type == 'image' %}<|image_pad|>{% endif %}"
    (folder / "base/chat_template.jinja").write_text(template + "{% endfor %}{% endfor %}")


@pytest.mark.parametrize(
    ("spoil", "checks", "words"),
    [
        (lack_shard, ["base"], "model.safetensors"),
        (lack_pictures, ["data"], "3.png"),
        (forget_names, ["base", "chat template"], "does not name images"),
    ],
)
def test_faults_of_files(question: Question, tmp_path: Path, spoil: Any, checks: list[str], words: str) -> None:
    spoil(tmp_path)
    wrong = failed(question)
    assert [finding.check for finding in wrong] == checks and all(words in finding.text for finding in wrong)


def test_a_batch_that_micro_batches_do_not_divide(
    question: Question, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed(tmp_path, monkeypatch, {"sft": {"micro_batch": 3}})
    (finding,) = failed(question)
    assert "conversations 128 is no multiple of micro_batch 3" in finding.text


def test_a_save_that_takes_longer_than_the_signal_leaves(question: Question) -> None:
    slow = replace(NODE, write_rate=1e2)
    (finding,) = failed(replace(question, machine=slow, needs=Needs(mem_gb=600, signal_s=120)))
    assert finding.check == "time to save" and "signal_s leaves 120 s: signal_s " in finding.text


def test_a_snapshot_of_the_hub_that_is_one_of_two(
    question: Question, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    for commit in ("a" * 40, "b" * 40):
        folder = tmp_path / "hub/models--Qwen--Small/snapshots" / commit
        shutil.copytree(tmp_path / "base", folder)
    seed(tmp_path, monkeypatch, {"base": "Qwen/Small"})
    monkeypatch.setattr("gemvg_repro.preflight.base_config.cached", lambda name: folder)
    assert hub.is_hub_name("Qwen/Small")
    (finding,) = failed(question)
    assert finding.check == "base" and "2 revisions of Qwen/Small" in finding.text and "hf cache rm" in finding.text


def test_a_device_that_is_too_small_and_what_would_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seed(tmp_path, monkeypatch, {"base": "Qwen/Qwen2-VL-7B-Instruct", "sft": {"micro_batch": 8}})
    monkeypatch.setattr("gemvg_repro.preflight.base_config.cached", lambda name: None)
    question = Question("paper", replace(NODE, gpu_memory=60 * GiB), 8, None, NEEDS, kinds=("sft",))
    finding = failed(question)[-1]
    assert finding.check == "memory of sft" and "micro_batch 1 fits: " in finding.text and "of 60 GiB" in finding.text


@pytest.mark.slow
def test_the_command_names_what_is_wrong_with_the_7b(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gemvg_repro.preflight", "--gpus", "1", "--memory", "80", "--kind", "evaluate"]
    done = subprocess.run([*command, "--runs", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 1 and "8.29 G weights, 28 layers" in done.stdout, done.stderr
    assert "ok     memory of evaluate: " in done.stdout
