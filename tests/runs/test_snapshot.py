"""Snapshots of the code: named by their content, whole, and with their commit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from gemvg_repro.runs.snapshot import Snapshot, of_checkout

from .. import tiny_project


def test_a_snapshot_is_named_by_its_content_and_is_imported(tmp_path: Path) -> None:
    root = tiny_project.project(tmp_path / "project")
    snapshot = Snapshot.of(root, tmp_path / "code")
    assert not (tmp_path / "code").exists()  # asking writes nothing
    folder = snapshot.make()
    assert Snapshot.of(root, tmp_path / "code").make() == folder
    assert sorted(path.name for path in folder.iterdir()) == ["code.json", "gemvg_repro", "notebooks", "sweeps"]
    program = "import gemvg_repro.runs.snapshot as c; print(c.PACKAGE); print(c.current().commit)"
    printed = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True)
    assert printed.stdout.splitlines() == [str(folder / "gemvg_repro"), str(snapshot.code.commit)]
    (root / "notebooks" / "train.ipynb").write_text("{}")
    assert Snapshot.of(root, tmp_path / "code").folder != folder


def test_the_difference_has_edits_and_new_files(tmp_path: Path) -> None:
    root = tiny_project.project(tmp_path)
    assert of_checkout(root).commit is None
    git = ["git", "-C", str(root), "-c", "user.name=n", "-c", "user.email=e"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *words], check=True)
    clean = of_checkout(root)
    assert clean.commit and clean.difference == ""
    (root / "sweeps" / "new.yaml").write_text("a new grid\n")
    (root / "sweeps" / "miniature.yaml").write_text("an edit\n")
    difference = of_checkout(root).difference
    assert "+a new grid" in difference and "+an edit" in difference and clean.commit == of_checkout(root).commit
