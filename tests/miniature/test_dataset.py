"""One columnar file, quick, compact, and the same content whoever draws it."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemvg_repro.grounding.answers import completion, format_answer
from gemvg_repro.grounding.boxes import box_error
from gemvg_repro.grounding.parsing import parse_answer
from gemvg_repro.grounding.samples import MODES
from gemvg_repro.miniature import dataset
from gemvg_repro.miniature.dataset import Recipe, generate, read, write
from gemvg_repro.miniature.world import Frame

SMALL = Recipe(seed=0, validation=30, test=30, understanding_test=6, shifted_test=10)


def test_what_is_read_is_what_was_drawn(tmp_path: Path) -> None:
    write(tmp_path / "w.parquet", SMALL)
    for split in dataset.SPLITS:
        assert read(tmp_path / "w.parquet", split) == list(generate(split, SMALL))


@given(st.integers(0, 2**63), st.sampled_from(dataset.SPLITS))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_of_any_seed_samples_are_in_order_stored_and_written(seed: int, split: dataset.HeldOutSplit) -> None:
    samples = list(generate(split, replace(SMALL, seed=seed, validation=8, test=8)))
    assert len({sample.id for sample in samples}) == len(samples)
    for sample in samples:
        assert dataset._sample(dataset._row(split, sample)) == sample
        assert all(target.picture < len(sample.pictures) and not box_error(target.box) for target in sample.targets)
        for mode in MODES if sample.chain else ("direct",):
            parsed = parse_answer(completion(sample, mode, 20), len(sample.pictures))
            assert parsed.exact and not parsed.problems and parsed.choice == sample.choice
            assert format_answer(parsed.targets, 20) == format_answer(sample.targets, 20)


def test_out_of_distribution_is_what_its_name_says_and_nothing_else() -> None:
    by_split = {split: list(generate(split, replace(SMALL, shifted_test=60))) for split in dataset.SPLITS}
    for split, samples in by_split.items():
        most = 4 if split == "more_pictures" else 3
        assert {len(sample.pictures) for sample in samples} == ({4} if split == "more_pictures" else {2, 3})
        fewest, most = (5, 6) if split == "more_targets" else (0, most)
        assert all(fewest <= len(sample.targets) <= most for sample in samples)
        shades = {thing.shade for s in samples for p in s.pictures if isinstance(p, Frame) for thing in p.things}
        assert shades.isdisjoint(range(16)) if split == "unseen_shades" else shades == {*range(16)}


def test_the_hash_is_of_the_content(tmp_path: Path) -> None:
    here = write(tmp_path / "a.parquet", SMALL)
    code = (
        "from pathlib import Path; from gemvg_repro.miniature.dataset import *; "
        f"print(write(Path({str(tmp_path / 'b.parquet')!r}), {SMALL!r}))"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert here == there
    assert write(tmp_path / "c.parquet", replace(SMALL, seed=1)) != here


def test_tens_of_thousands_in_seconds_and_compact(tmp_path: Path) -> None:
    started = time.process_time()
    many = replace(SMALL, test=15_000)
    write(tmp_path / "w.parquet", many)
    samples = read(tmp_path / "w.parquet", "test")
    assert len(samples) > 15_000 - 1
    assert time.process_time() - started < 30
    assert (tmp_path / "w.parquet").stat().st_size < 100 * len(samples)


def test_another_version_of_the_world_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "w.parquet", SMALL)
    monkeypatch.setattr(dataset, "WORLD_VERSION", 99)
    with pytest.raises(ValueError, match=r"version 3 of the world, this code is version 99.*data notebook"):
        read(tmp_path / "w.parquet", "test")
