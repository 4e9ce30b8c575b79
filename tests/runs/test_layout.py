"""The files of a run directory: named in one module, and found again by benchmark and mode."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from gemvg_repro.runs import layout

PACKAGE = Path(layout.__file__).parents[1]
NAMES = {
    layout.RESULT, layout.PARAMETERS, layout.ENVIRONMENT, layout.PROGRESS, layout.VALIDATION_REWARD,
    layout.VALIDATION_REWARD_BEFORE, layout.NUMBERS, layout.REPORT_PAGE, ".jobs", "owner.lock", "job.lock",
    "failure.txt",
}  # fmt: skip


@pytest.mark.parametrize("file", [layout.PREDICTIONS, layout.SCORES, layout.OFFICIAL])
def test_files_of_tasks_are_found_by_benchmark_and_mode(file: layout.TaskFile, tmp_path: Path) -> None:
    for task in ("generalised-direct", "refcoco+-cot", "mig_bench-other", "-cot"):
        (tmp_path / file.name(task)).touch()
    (tmp_path / f"{file.name('generalised-cot')}.tmp").touch()
    assert file.find(tmp_path) == {
        ("generalised", "direct"): tmp_path / file.name("generalised-direct"),
        ("refcoco+", "cot"): tmp_path / file.name("refcoco+-cot"),
    }


def test_only_the_layout_spells_a_file_s_name() -> None:
    modules = [*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "sweeps").glob("*.py")]
    for module in modules:
        for node in ast.walk(ast.parse(module.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and node.value in NAMES:
                assert module == Path(layout.__file__), (
                    f"{module}:{node.lineno} spells {node.value!r}; see runs/layout.py"
                )
