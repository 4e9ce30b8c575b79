"""The files of a run directory: named in one module."""

from __future__ import annotations

import ast
from pathlib import Path

from gemvg_repro.runs import layout

PACKAGE = Path(layout.__file__).parents[1]
NAMES = {
    layout.RESULT, layout.PARAMETERS, layout.ENVIRONMENT, layout.PROGRESS, layout.VALIDATION_REWARD,
    layout.VALIDATION_REWARD_BEFORE, layout.NUMBERS, layout.REPORT_PAGE, ".jobs", "owner.lock", "job.lock",
    "failure.txt",
}  # fmt: skip


def test_only_the_layout_spells_a_file_s_name() -> None:
    modules = [*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "sweeps").glob("*.py")]
    for module in modules:
        for node in ast.walk(ast.parse(module.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and node.value in NAMES:
                assert module == Path(layout.__file__), (
                    f"{module}:{node.lineno} spells {node.value!r}; see runs/layout.py"
                )
