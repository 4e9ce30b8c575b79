"""Workers compute what one process computes, and end with it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from gemvg_repro.corpora.workers import pool

PATIENCE_S = 30


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_their_tasks(workers: int) -> None:
    with pool(workers) as submit:
        tasks = [submit(divmod, n, 3) for n in range(7)]
        assert [task.result() for task in tasks] == [divmod(n, 3) for n in range(7)]


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "waits.py"
    script.write_text(
        "import time\nfrom gemvg_repro.corpora.workers import pool\n"
        "if __name__ == '__main__':\n    with pool(2) as submit:\n"
        "        tasks = [submit(time.sleep, 600) for _ in range(2)]\n        [task.result() for task in tasks]\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)])
    workers: list[psutil.Process] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(workers) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
        below = psutil.Process(parent.pid).children()
        workers = [child for child in below if "spawn_main" in " ".join(child.cmdline())]
    assert len(workers) == 2
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(workers, timeout=PATIENCE_S)
    assert not alive
