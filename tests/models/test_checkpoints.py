"""A base that was altered or half written is refused before anything is trained on it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gemvg_repro.files.validation import Refused
from gemvg_repro.models.checkpoints import SUMS, check, write_sums

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
    with pytest.raises(Refused, match=name):
        check(base)


def test_the_base_of_the_package_is_whole_and_says_so() -> None:
    check(BASE)
    names = {line.split("  ")[1] for line in (BASE / SUMS).read_text().splitlines()}
    assert names >= {"model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"}


@pytest.mark.parametrize("content", ["", "0123"])
def test_sums_that_are_cut_off_vouch_for_nothing(tmp_path: Path, content: str) -> None:
    base = Path(shutil.copytree(BASE, tmp_path / "base"))
    (base / SUMS).write_text(content)
    with pytest.raises(Refused):
        check(base)


def test_sums_are_written_as_sha256sum_writes_them(tmp_path: Path) -> None:
    base = Path(shutil.copytree(BASE, tmp_path / "base"))
    (base / SUMS).unlink()
    for beside in ("metrics.json", "curve.csv"):
        (base / beside).unlink()
    write_sums(base)
    assert (base / SUMS).read_bytes() == (BASE / SUMS).read_bytes()


def test_a_vocabulary_with_its_merges_stands_for_a_tokenizer_file(tmp_path: Path) -> None:
    base = Path(shutil.copytree(BASE, tmp_path / "base"))
    (base / SUMS).unlink()
    (base / "tokenizer.json").unlink()
    (base / "vocab.json").write_text("{}")
    with pytest.raises(Refused, match=r"tokenizer\.json or vocab\.json with merges\.txt: is missing"):
        check(base)
    (base / "merges.txt").write_text("")
    check(base)
