"""A cluster with accounting: jobs that its controller has forgotten."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tools import one_host_slurm as one_host
from tools.one_host_slurm import Cluster

from .conftest import ON_A_CLUSTER, Study

pytestmark = ON_A_CLUSTER


@pytest.fixture(scope="module")
def slurm() -> Iterator[Cluster]:
    if problem := one_host.missing(accounting=True):
        assert not os.environ.get("SLURM_REQUIRED"), problem
        pytest.skip(problem)
    cluster = Cluster(Path(tempfile.mkdtemp(prefix="slurm")))
    try:
        cluster.up(accounting=True)
        yield cluster
    finally:
        cluster.down()


def test_jobs_that_have_left_the_queue_are_told_from_the_accounts(study: Callable[..., Study]) -> None:
    one = study()
    selection = ("--seeds", "0", "1", "--only", "!report")
    one.allow(1)
    one.submitted(*selection, TINY_SLOW="sft-s0")
    one.until_logged("sft-s0", 1)
    one.cluster.ask("scancel", one.states(*selection)["sft-s0"]["job"])
    one.until(lambda: not one.cluster.ask("squeue", "-h", "-r", "-t", "all"))
    after = one.states(*selection)
    assert after["sft-s0"]["state"] == "failed" and "ended as CANCELLED: it was cancelled" in after["sft-s0"]["why"]
    assert after["sft-s0"]["node"] in one_host.NODES
    assert (after["evaluate-sft-s0"]["state"], after["evaluate-sft-s0"]["why"]) == ("blocked", "sft-s0")
    assert {after[name]["state"] for name in ("sft-s1", "evaluate-sft-s1")} == {"finished"}
    one.submitted(*selection, "--retry")
    one.until_over(*selection)
    assert one.is_whole("sft-s0") and one.is_whole("evaluate-sft-s0")
