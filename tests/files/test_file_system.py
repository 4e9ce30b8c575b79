"""Which file system a folder is on."""

from __future__ import annotations

from pathlib import Path

from gemvg_repro.files.file_system import NETWORK, file_system


def test_the_file_system_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert file_system(tmp_path / "not" / "yet") == file_system(tmp_path) != "unknown"
    assert "nfs4".startswith(NETWORK) and not "ext4".startswith(NETWORK)
