"""A base that was altered or half written is refused before anything is trained on it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gemvg_repro.models.checksums import SUMS, AlteredCheckpoint, check_sums
from gemvg_repro.models.loading import load, save

from ..tiny_model import model_and_processor

BASE = Path(__file__).parents[2] / "gemvg_repro" / "miniature" / "base"


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
@pytest.mark.parametrize("spoil", [half, one_bit, Path.unlink])
def test_the_base_is_refused_if_it_is_not_whole(tmp_path: Path, name: str, spoil: Callable[[Path], None]) -> None:
    base = Path(shutil.copytree(BASE, tmp_path / "base"))
    spoil(base / name)
    with pytest.raises(AlteredCheckpoint, match=rf"{name} is not the file that was saved.*git checkout"):
        load(base, "float32")


def test_the_base_of_the_package_is_whole_and_says_so() -> None:
    check_sums(BASE)
    names = {line.split("  ")[1] for line in (BASE / SUMS).read_text().splitlines()}
    assert names >= {"model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"}


@pytest.mark.parametrize("content", ["", "0123"])
def test_sums_that_are_cut_off_vouch_for_nothing(tmp_path: Path, content: str) -> None:
    base = Path(shutil.copytree(BASE, tmp_path / "base"))
    (base / SUMS).write_text(content)
    with pytest.raises(AlteredCheckpoint):
        check_sums(base)


def test_what_is_saved_is_checked_when_it_is_loaded(tmp_path: Path) -> None:
    save(*model_and_processor(), tmp_path / "model")
    load(tmp_path / "model", "float32")
    one_bit(tmp_path / "model" / "model.safetensors")
    with pytest.raises(AlteredCheckpoint, match="run directory is moved away"):
        load(tmp_path / "model", "float32")
