"""Unusual environments of a study: odd paths, another launcher, no home or network, a moved folder, a jumping clock."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .. import tiny_project
from ..sweeps.test_launch import launch, start, until_logged

ODD = "a 'study' of \"mine\"\n$(touch owned) & é\t*"
SFT = ("--only", "sft-s0", "--only", "!report")
DAY_S = 86_400


def log(root: Path, name: str) -> list[dict[str, object]]:
    (file,) = (f / "log.jsonl" for f in (root / "runs").glob(f"{name}-*") if f.name.rpartition("-")[0] == name)
    return [json.loads(line) for line in file.read_text().splitlines()]


def whole(root: Path, name: str) -> bool:
    """Whether the run has every step once, by one process."""
    steps = log(root, name)
    return [s["step"] for s in steps] == [*range(1, tiny_project.STEPS + 1)] and len({s["pid"] for s in steps}) == 1


def states(root: Path, *arguments: str) -> dict[str, str]:
    status, out, error = launch(root, "--status", "--json", *arguments)
    assert (status, error) == (0, "")
    return {run["run"]: run["state"] for run in json.loads(out)}


def test_a_folder_of_any_name_that_is_moved_when_half_the_study_is_done(tmp_path: Path) -> None:
    root = tiny_project.project(tmp_path / ODD)
    status, _, error = launch(root, *SFT)
    assert (status, error) == (0, "") and whole(root, "sft-s0")
    before = log(root, "sft-s0")
    moved = (tmp_path / "elsewhere").resolve()
    shutil.move(root, moved)
    assert states(moved) == {
        "data": "finished",
        "sft-s0": "finished",
        "evaluate-sft-s0": "missing",
        "report": "missing",
    }
    status, _, error = launch(moved, "--only", "!report")
    assert (status, error) == (0, "")
    assert log(moved, "sft-s0") == before and whole(moved, "evaluate-sft-s0")
    assert not list(tmp_path.rglob("owned"))


@pytest.mark.slow
def test_two_studies_at_once_in_one_folder_share_what_they_have_in_common(tmp_path: Path) -> None:
    root = tiny_project.project(tmp_path)
    selection = ("--only", "sft-*", "--only", "!report")
    launchers = [start(root, "--seeds", seed, *selection, TINY_SLOW="data") for seed in ("0", "1")]
    outputs = [process.communicate(timeout=300) for process in launchers]
    assert [process.returncode for process in launchers] == [0, 0], outputs
    assert all(whole(root, name) for name in ("data", "sft-s0", "sft-s1"))
    assert tiny_project.result(root, "sft-s0")["id"] != tiny_project.result(root, "sft-s1")["id"]


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Callable[[Path], Path]]:
    """Has a folder be one that nobody can write to, root neither."""
    mounted: list[Path] = []

    def shut(folder: Path) -> Path:
        place = tmp_path / "read-only"
        place.mkdir()
        for command in (["--bind", str(folder), str(place)], ["-o", "remount,bind,ro", str(place)]):
            done = subprocess.run(["mount", *command], capture_output=True, text=True)
            if os.geteuid() != 0 or done.returncode:
                pytest.skip(f"a read-only mount needs root: {done.stderr.strip()}")
            mounted[:] = [place]
        return place

    yield shut
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.slow
def test_a_read_only_install_without_home_or_network(tmp_path: Path, read_only: Callable[[Path], Path]) -> None:
    root = read_only(tiny_project.project(tmp_path / "project"))
    with pytest.raises(OSError, match="Read-only"):
        (root / "x").touch()
    alone = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]  # a kernel talks to itself by lo
    command = [*alone, sys.executable, str(root / "sweeps" / "launch.py"), "--runs", str(tmp_path / "runs"), *SFT]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "JUPYTER_", "IPYTHON"))}
    done = subprocess.run(
        command, env=environment | {"HOME": "/dev/null/none"}, capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert whole(tmp_path, "sft-s0")


# Moves the clock of every Python below by what stands in a file, from one reading to the next.
CLOCK = """
import time
_real = time.time
def _moved():
    with open({file!r}) as offset:
        return _real() + float(offset.read() or 0)
time.time = _moved
"""


@pytest.mark.slow
def test_a_clock_that_jumps(tmp_path: Path) -> None:
    """By days, under a run, and again before the next command: no run is lost, none is done twice."""
    root = tiny_project.project(tmp_path / "project")
    clock, site = tmp_path / "clock", tmp_path / "site"
    clock.write_text("0")
    site.mkdir()
    (site / "sitecustomize.py").write_text(CLOCK.format(file=str(clock)))
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    gate = tiny_project.Gate(tmp_path / "gate", step=2)
    process = start(root, *SFT, TINY_SLOW="sft-s0", PYTHONPATH=path, **gate.environment)
    until_logged(root, "sft-s0", 2, process)
    clock.write_text(str(-3 * DAY_S))
    gate.open()
    _, error = process.communicate(timeout=300)
    assert (process.returncode, error) == (0, "") and whole(root, "sft-s0")
    (progress,) = (root / "runs").glob("sft-s0-*/progress.json")
    assert json.loads(progress.read_text())["updated"] < time.time() - 2 * DAY_S  # it did jump
    clock.write_text(str(40 * DAY_S))
    before = log(root, "sft-s0")
    status, _, error = launch(root, "--only", "!report", PYTHONPATH=path)
    assert (status, error) == (0, "") and log(root, "sft-s0") == before and whole(root, "evaluate-sft-s0")
    assert set(states(root, "--only", "!report").values()) == {"finished"}
