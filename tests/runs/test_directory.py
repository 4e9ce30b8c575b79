"""Run directories: one owner, whole files, and result.json as the only sign of done."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemvg_repro.runs.directory import Run, parameters_of, result_of, run_id
from gemvg_repro.runs.json_files import RunError, write_json
from gemvg_repro.runs.log import Log
from gemvg_repro.runs.ownership import OwnedError, owner_of

PARAMETERS = {"kind": "train", "seed": 0, "settings": {"lr": 0.001}}

# Holds a run directory until its input ends.
HOLD = """
import sys
from gemvg_repro.runs.directory import Run
run = Run.open(sys.argv[1], "sft-s0", {"kind": "train", "seed": 0, "settings": {"lr": 0.001}})
print("mine", flush=True)
sys.stdin.read()
"""


def hold(root: Path) -> subprocess.Popen[str]:
    """Another process that owns the run."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stdout.readline() == "mine\n"
    return process


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_id_is_of_the_content_alone() -> None:
    assert run_id(PARAMETERS) == run_id(dict(reversed(PARAMETERS.items())))
    # printf '{"kind":"train","seed":0,"settings":{"lr":0.001}}' | sha256sum | cut -c1-10
    assert run_id(PARAMETERS) == "b8c4a28534"
    assert run_id(PARAMETERS) != run_id({**PARAMETERS, "seed": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        run_id({"lr": float("nan")})


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
_ANY_PARAMETERS = st.dictionaries(st.text(), _VALUES, max_size=6).map(
    lambda p: {k: v for k, v in p.items() if k != "id"}
)


@given(_ANY_PARAMETERS, _ANY_PARAMETERS)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_parameters_are_recognised_and_never_confused_with_others(
    tmp_path_factory: pytest.TempPathFactory, one: dict[str, Any], other: dict[str, Any]
) -> None:
    identity = run_id(one)
    assert re.fullmatch("[0-9a-f]{10}", identity)
    assert identity == run_id(json.loads(json.dumps(one))) == run_id(dict(reversed(one.items())))
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (identity == run_id(other)) == same
    folder = tmp_path_factory.mktemp("runs") / f"sft-s0-{identity}"
    folder.mkdir()
    write_json(folder / "parameters.json", {"id": identity, **one})
    assert json.dumps(parameters_of(folder), sort_keys=True) == json.dumps(one, sort_keys=True)
    if not same:
        write_json(folder / "parameters.json", {"id": identity, **other})
        with pytest.raises(RunError, match="is not of run"):
            parameters_of(folder)


def test_a_run_from_opening_to_its_result(tmp_path: Path) -> None:
    run = Run.open(tmp_path, "sft-s0", PARAMETERS)
    assert run.folder == tmp_path / f"sft-s0-{run.id}"
    assert json.loads((run.folder / "parameters.json").read_text()) == {"id": run.id, **PARAMETERS}
    environment = json.loads((run.folder / "environment.json").read_text())
    assert environment["versions"]["numpy"] == np.__version__ and environment["earlier"] == []
    run.progress(1, 2, seconds_left=3.0, loss=np.float32(0.5))
    assert json.loads((run.folder / "progress.json").read_text())["loss"] == 0.5
    assert run.finished is None
    result = run.finish({"metrics": {"f1": np.float64(0.25), "nothing": float("nan")}})
    assert result == {"id": run.id, "name": "sft-s0", "metrics": {"f1": 0.25, "nothing": None}}
    assert result_of(run.folder) == result
    assert not list(run.folder.glob(".*"))


def test_a_finished_run_is_opened_without_writing(tmp_path: Path) -> None:
    run = Run.open(tmp_path, "sft-s0", PARAMETERS)
    run.finish({})
    before = contents(run.folder)
    again = Run.open(tmp_path, "sft-s0", PARAMETERS)
    assert again.finished == {"id": run.id, "name": "sft-s0"}
    with pytest.raises(RunError, match="is finished"):
        again.finish({"metrics": {}})
    assert contents(run.folder) == before


def test_reopening_keeps_what_the_run_is_and_remembers_where_it_ran_before(tmp_path: Path) -> None:
    with Run.open(tmp_path, "sft-s0", PARAMETERS):
        pass
    with Run.open(tmp_path, "sft-s0", PARAMETERS) as run:
        assert len(json.loads((run.folder / "environment.json").read_text())["earlier"]) == 1
    with pytest.raises(RunError, match="was closed"):
        run.progress(1, 2)


def test_parameters_that_disagree_with_the_id_are_refused(tmp_path: Path) -> None:
    with Run.open(tmp_path, "sft-s0", PARAMETERS) as run:
        run.write("parameters.json", {"id": run.id, **PARAMETERS, "seed": 1})
    before = contents(run.folder)
    with pytest.raises(RunError, match="is not of run"):
        Run.open(tmp_path, "sft-s0", PARAMETERS)
    assert contents(run.folder) == before | {"owner.lock": b""}


def test_a_result_in_a_folder_of_another_name_is_refused(tmp_path: Path) -> None:
    Run.open(tmp_path, "sft-s0", PARAMETERS).finish({})
    (tmp_path / f"sft-s0-{run_id(PARAMETERS)}").rename(tmp_path / "sft-s0-0123456789")
    with pytest.raises(RunError, match="keeps the name"):
        result_of(tmp_path / "sft-s0-0123456789")


def test_a_second_writer_stops_before_it_writes_and_learns_who_the_owner_is(tmp_path: Path) -> None:
    owner = hold(tmp_path)
    folder = tmp_path / f"sft-s0-{run_id(PARAMETERS)}"
    before = contents(folder)
    with pytest.raises(OwnedError, match=rf"process {owner.pid} on .*, since 20.*nothing was changed"):
        Run.open(tmp_path, "sft-s0", PARAMETERS, patience_s=0.3)
    assert contents(folder) == before
    named = owner_of(folder / "owner.lock")
    assert named is not None and named.pid == owner.pid and named.lives
    owner.communicate()
    Run.open(tmp_path, "sft-s0", PARAMETERS, patience_s=0).close()


def test_the_lock_of_a_killed_owner_is_taken_over(tmp_path: Path) -> None:
    owner = hold(tmp_path)
    owner.kill()
    owner.wait()
    lock = tmp_path / f"sft-s0-{run_id(PARAMETERS)}" / "owner.lock"
    assert str(owner.pid) in lock.read_text() and owner_of(lock) is None
    with Run.open(tmp_path, "sft-s0", PARAMETERS, patience_s=0):
        assert json.loads(lock.read_text())["pid"] == os.getpid()


def test_the_same_process_may_open_its_run_again(tmp_path: Path) -> None:
    """As when a person executes a notebook's cell twice."""
    Run.open(tmp_path, "sft-s0", PARAMETERS)
    with Run.open(tmp_path, "sft-s0", PARAMETERS, patience_s=0) as run:
        run.progress(1, 1)


def test_a_name_that_could_leave_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot name a run"):
        Run.open(tmp_path, "../sft", PARAMETERS)


def test_a_torn_line_is_cut_off_and_the_log_continues(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    for step in (1, 2, 3):
        log.append({"step": step, "loss": 1.0 / step})
    whole = log.path.read_bytes()
    for cut in range(len(whole) + 1):
        log.path.write_bytes(whole[:cut])
        Log(log.path).append({"step": 9, "loss": float("inf")})
        records = Log(log.path).records()
        assert [r["step"] for r in records] == [*range(1, whole[:cut].count(b"\n") + 1), 9]
        assert records[-1]["loss"] is None


def test_a_log_is_rewound_to_the_checkpoint(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    for step in range(1, 8):
        log.append({"step": step})
    log.rewind(5)
    assert [r["step"] for r in log.records()] == [1, 2, 3, 4, 5]


FULL = """
import resource, sys
from pathlib import Path
from gemvg_repro.runs.json_files import write_json
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
write_json(Path(sys.argv[1]), "x" * 5000)
"""


def test_a_write_that_fails_half_way_leaves_the_old_content_and_says_what_it_wrote(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"a": 1})
    failed = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True)
    assert failed.returncode == 1 and f"{path} was not written: File too large; it takes 5,003 bytes" in failed.stderr
    assert contents(tmp_path) == {"result.json": b'{\n  "a": 1\n}\n'}
