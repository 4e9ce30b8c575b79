import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gemvg_repro.launching.notebook import PAPERMILL
from gemvg_repro.report.page.html import export_html
from gemvg_repro.study.grid import Grid
from gemvg_repro.study.plan import plan

from . import synthetic

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "report.ipynb"
GRID = ROOT / "sweeps" / "miniature.yaml"


def execute(runs: Path, output: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PAPERMILL, str(NOTEBOOK), str(output)]
    command += ["-k", "python3", "--no-progress-bar", "-p", "runs", str(runs)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_a_folder_without_runs(tmp_path: Path) -> None:
    executed = tmp_path / "report.ipynb"
    done = execute(tmp_path / "runs", executed)
    assert done.returncode == 0, done.stderr[-2000:]
    page = export_html(executed).read_text()
    assert "No results yet" in page and "21 runs expected, 0 found" in page
    assert (tmp_path / "runs" / "report" / "numbers.parquet").is_file()


def test_some_runs(tmp_path: Path) -> None:
    runs, executed = tmp_path / "runs", tmp_path / "report.ipynb"
    keys = [job.key for job in plan(Grid.load(GRID), GRID, ROOT, runs) if not job.is_report]
    synthetic.build(runs, [key for key in keys if not key.startswith(("direct", "evaluate-direct"))], 60, 20)
    synthetic.unfinish(next(runs.glob("evaluate-hybrid-s0-*")))
    done = execute(runs, executed)
    assert done.returncode == 0, done.stderr[-2000:]
    page = export_html(executed).read_text()
    assert "21 runs expected, 18 found, 17 finished, 1 unfinished" in page
    for section in ("Runs", "The variants", "Shortcut baselines", "Assumptions", "Environment"):
        assert f"<summary><h2>{section}</h2>" in page and f">{section}</a>" in page
    assert page.count("<img") == page.count('src="data:image/png;base64,') == 10
    # By itself: nothing is loaded, only the page's and the gallery's scripts run, no code is shown, no text is mark-up.
    outside = re.sub(r"data:image/png;base64,[^\"]*", "", page)
    assert not re.search(r"<link|@import|url\(|src=\"?http", outside)
    assert re.findall(r"<script[^>]*>", outside) == ['<script type="application/json">', "<script>", "<script>"]
    assert "from gemvg_repro" not in outside and "<title>GeM-VG reproduced" in outside
    files = {path.name for path in (runs / "report").rglob("*") if path.is_file()}
    assert {"numbers.parquet", "variants.tex", "variants.html", "bars.pdf", "predictions.png"} <= files


def test_the_notebook_is_thin_and_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code[0]["metadata"]["tags"] == ["parameters"]
    for cell in code:
        assert not cell["outputs"] and cell["execution_count"] is None
        assert len(cell["source"]) <= 12 and not re.search(r"^\s*(def|class) ", "".join(cell["source"]), re.M)


def test_the_report_never_imports_torch() -> None:
    files = (ROOT / "gemvg_repro" / "report").rglob("[a-z]*.py")
    imports = "; ".join(f"import {'.'.join(file.relative_to(ROOT).with_suffix('').parts)}" for file in files)
    code = f"{imports}; import sys; print(sorted({{'torch', 'transformers', 'nbconvert'}} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_notebook_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"sweeps/launch\.py"):
        export_html(tmp_path / "report.ipynb")
