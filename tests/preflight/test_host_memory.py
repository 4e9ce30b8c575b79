"""The memory of a job or a container ends at the limit of its cgroup."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from gemvg_repro.preflight.host_memory import available_memory


def cgroup(folder: Path, limit: str, used: int, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in zip(
        names, (limit, str(used), "anon 5\ninactive_file 300\ntotal_inactive_file 300"), strict=True
    ):
        (folder / name).write_text(content + "\n")


@pytest.mark.parametrize(
    ("line", "root", "names"),
    [
        ("0::/slurm/job_7/step_0", "", ("memory.max", "memory.current")),
        ("9:cpu,memory:/slurm/job_7/step_0", "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")),
    ],
)
def test_the_tightest_limit_counts_without_the_cache(
    line: str, root: str, names: tuple[str, str], tmp_path: Path
) -> None:
    membership, mounted = tmp_path / "cgroup", tmp_path / "sys"
    membership.write_text(f"3:cpuset:/other\n{line}\n")
    job = mounted / root / "slurm" / "job_7"
    cgroup(job, "5000", 1000, *names, "memory.stat")
    unlimited = "max" if names[0] == "memory.max" else str(2**63 - 4096)
    cgroup(job / "step_0", unlimited, 900, *names, "memory.stat")
    assert available_memory(membership, mounted) == 5000 - 1000 + 300


def test_without_limits_it_is_the_machine_s(tmp_path: Path) -> None:
    assert available_memory(tmp_path / "none", tmp_path) == pytest.approx(psutil.virtual_memory().available, rel=0.2)
