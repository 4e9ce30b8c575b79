"""A launch that is expected to take more GPU hours than its cap needs a yes."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from gemvg_repro.launching.commands import submit
from gemvg_repro.launching.commands.submit import SubmitOptions, _may_spend
from gemvg_repro.launching.expectations import Expectation, expectations
from gemvg_repro.launching.slurm import SlurmError
from gemvg_repro.launching.slurm_arrays import gpu_hours, plan_arrays
from gemvg_repro.study.plan import Job
from gemvg_repro.study.resources import Resources

from .. import tiny_project
from .test_slurm_arrays import statuses

ASK, YES = (SubmitOptions(retry=False, yes=yes, json_output=True) for yes in (False, True))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def may_spend(root: Path, resources: Resources, options: SubmitOptions) -> bool:
    each = list(statuses(root, [0]).values())
    limit = gpu_hours(plan_arrays(each, resources, 1001))
    return _may_spend([one.job for one in each], resources, limit, options, Console(file=io.StringIO()))


def test_the_cap_on_gpu_hours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tiny_project.project(tmp_path, "[sft]")
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    none = Resources(gpus=1, gpu="H200", max_gpu_hours=0)
    once = expectations([statuses(root, [0])["sft-s0"].job], none)  # seconds of reckoning memory

    def again(jobs: Sequence[Job], resources: Resources) -> list[Expectation]:
        return [replace(one, needs=resources.needs(one.job.kind)) for one in once]

    monkeypatch.setattr(submit, "expectations", again)
    with pytest.raises(
        SlurmError, match=r"0 GPU hours are expected.*Nothing was submitted.*max_gpu_hours=\d+\), or say"
    ):
        may_spend(root, none, ASK)
    assert may_spend(root, none, YES)
    assert may_spend(root, Resources(gpus=1, gpu="H200", max_gpu_hours=1), ASK), "the miniature's SFT takes minutes"
    unknown = Resources(gpus=1, max_gpu_hours=1, timeout_min=60)  # no kind of GPU: the time limits are what is known
    with pytest.raises(SlurmError, match="4 GPU hours are expected"):
        may_spend(root, unknown, ASK)
    assert may_spend(root, Resources(max_gpu_hours=0), ASK), "without GPUs there is nothing to ask"
    for answer, may in (("n\n", False), ("\n", False), ("yes\n", True)):
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        assert may_spend(root, none, ASK) is may


def test_several_nodes_are_a_training_s(tmp_path: Path) -> None:
    resources = Resources(nodes=2, gpus=4, timeout_min=60)
    assert (resources.needs("hybrid").gpus_in_all, resources.needs("evaluate").gpus_in_all) == (8, 4)
    arrays = plan_arrays(list(statuses(tiny_project.project(tmp_path, "[sft]"), [0]).values()), resources, 1001)
    assert gpu_hours(arrays) == 4 + 8 + 4 + 4  # data, sft, its evaluation, report
    with pytest.raises(ValueError, match="evaluate asks for 2 nodes; only a training takes more than one"):
        Resources(kinds={"evaluate": {"nodes": 2}})
