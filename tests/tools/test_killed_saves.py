"""A training resumes from its newest sealed checkpoint, wherever strace kills a save or has it fail."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("stage", ["sft", "grpo"])
def test_saves_that_are_killed_or_fail_lose_no_sealed_checkpoint(stage: str) -> None:
    """A few calls of each name; `python -m tools.killed_saves` tries all of them."""
    command = [sys.executable, "-m", "tools.killed_saves", "--stages", stage, "--most", "1", "--pairs", "2"]
    command += ["--calls", "write", "fsync", "rename", "unlink", "unlinkat"]
    report = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert report.returncode == 0, report.stdout + report.stderr
    assert re.search(rf"{stage}: {{'kills': 5, 'errors': 2, 'pairs': 2}} trials in \d+ s, 0 wrong", report.stdout)
