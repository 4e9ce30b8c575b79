"""A file's hash is that of its content, though it is read only once."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from unittest.mock import Mock

import pytest

from gemvg_repro.files.hashing import sha256


def test_a_file_is_read_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    counted = Mock(wraps=hashlib.file_digest)
    monkeypatch.setattr(hashlib, "file_digest", counted)
    for content, seconds in ((b"one", 100), (b"two", 50), (b"longer", 50)):
        file.write_bytes(content)
        os.utime(file, (time.time() - seconds,) * 2)
        expected = hashlib.sha256(content).hexdigest()
        assert [sha256(file), sha256(file)] == [expected] * 2
    assert counted.call_count == 3


def test_a_file_that_has_just_been_written_is_not_remembered(tmp_path: Path) -> None:
    """Its time of change may be that of the next change, too."""
    file = tmp_path / "file"
    file.write_bytes(b"one")
    moment = file.stat().st_mtime_ns
    before = sha256(file)
    file.write_bytes(b"two")
    os.utime(file, ns=(moment, moment))
    assert sha256(file) != before
