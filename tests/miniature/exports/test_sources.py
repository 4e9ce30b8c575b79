"""The world in the five official formats: through the readers and composers to samples that are its own."""

import re
import shlex
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from gemvg_repro import miniature
from gemvg_repro.corpora import mg_data, recipe, shards
from gemvg_repro.corpora.cells import compose, draw_anchors, prove
from gemvg_repro.corpora.composition.composed import Context, Unfit
from gemvg_repro.corpora.composition.oracle import Untrue
from gemvg_repro.corpora.index import Index
from gemvg_repro.corpora.sources import SOURCES
from gemvg_repro.files.pictures import FilePicture
from gemvg_repro.grounding.number_words import CARDINALS
from gemvg_repro.grounding.samples import GROUNDING_KINDS, Box
from gemvg_repro.miniature.dataset import Recipe, generate
from gemvg_repro.miniature.exports import sources as official_export
from gemvg_repro.miniature.tokenizer import build_tokenizer
from gemvg_repro.miniature.world import CATEGORIES, COLOURS
from gemvg_repro.stages import data
from gemvg_repro.study.parameters import DataParameters
from gemvg_repro.study.spec import resolve

from ...corpora.composition.test_checker import LIES

PICTURES = {"coco": 240, "d3": 480, "egoexo4d": 240, "mvtrack": 240, "star": 240}
RECIPE = recipe.load(Path(miniature.__file__).with_name("recipe.yaml"))


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return official_export.write(tmp_path_factory.mktemp("world"), 0, PICTURES)


@pytest.fixture(scope="module")
def made(roots: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("made")
    return folder, mg_data.make(folder, roots, RECIPE.scaled(0.01), {})


def test_readers_use_all_of_it(made: tuple[Path, dict[str, Any]]) -> None:
    for name, source in made[1]["sources"].items():
        assert source["frames"] >= 200 and source["skipped"] == {}, name
    assert all(cell["short"] == 0 for cell in made[1]["cells"].values())


def test_boxes_lie_on_what_is_painted(made: tuple[Path, dict[str, Any]], roots: dict[str, Path]) -> None:
    """A thing's paint differs from the ground: the mean colour within its box is further from grey than beside it."""
    for name, root in roots.items():
        index = Index(made[0] / "indexes" / f"{name}.sqlite")
        coloured = []
        for n in index.numbers().tolist()[:40]:
            frame = index.frame(n)
            pixels = FilePicture(SOURCES[name].pictures(root), frame.path).pixels().astype(float)
            spread = pixels.max(axis=2) - pixels.min(axis=2)
            inside = np.zeros(spread.shape, dtype=bool)
            for instance in frame.instances:
                if instance.box:
                    x1, y1, x2, y2 = (round(v * 64) for v in instance.box)
                    inside[y1:y2, x1:x2] = True
            if inside.any():
                coloured.append(spread[inside].mean() - spread[~inside].mean())
        assert np.mean(coloured) > 30, name


def test_samples_are_in_words_that_the_miniature_knows(made: tuple[Path, dict[str, Any]]) -> None:
    tokenizer = build_tokenizer()
    samples = list(shards.samples(made[0] / "shards", "sft"))
    assert {s.kind for s in samples} == {*GROUNDING_KINDS, "understanding"}
    for sample in samples:
        for text in (sample.query, sample.chain or ""):
            pieces = tokenizer.tokenize(re.sub(r"^[a-z]", lambda m: " " + m[0], text))
            single = [p for p in pieces if len(p) == 1 and p.isalpha() and p != "a"]
            assert not single, (text, pieces)


def test_kinds_targets_and_words_are_those_of_the_world(made: tuple[Path, dict[str, Any]]) -> None:
    first = [turns[0] for turns in shards.conversations(made[0] / "shards", "sft")]
    drawn = list(generate("validation", Recipe(1, 1000, 0, 0)))
    planned: Counter[str] = Counter()
    for cell in RECIPE.cells:
        planned["single" if cell.rules.get("pictures") == [1, 1] else cell.kind] += cell.count
    for kind in GROUNDING_KINDS:
        ours, theirs = ([s for s in of if s.kind == kind and len(s.pictures) > 1] for of in (first, drawn))
        assert len(ours) == pytest.approx(planned[kind] / planned.total() * len(first), abs=3)
        assert planned[kind] > 0.03 * planned.total()
        for number in range(3):
            share = [sum(min(len(s.targets), 2) == number for s in of) / len(of) for of in (ours, theirs)]
            assert share[0] == pytest.approx(share[1], abs=0.25), (kind, number)
    single = [s for s in first if len(s.pictures) == 1]
    assert len(single) == pytest.approx(planned["single"] / planned.total() * len(first), abs=3)
    spoken = {_shape(text) for s in drawn for text in (s.query, s.chain or "")}
    ours = [s for s in first if s.source != "mvtrack" and s.choice is None]  # tracking by a mark is not in the test
    strange = {text for s in ours for text in (s.query, s.chain or "") if _shape(text) not in spoken}
    assert not strange


def test_spatial_association_goes_from_the_close_view(made: tuple[Path, dict[str, Any]]) -> None:
    spatial = [row for row, *_ in _all(made[0] / "shards") if row["kind"] == "spatial"]
    for row in spatial:
        assert ["/aria" in picture["path"] for picture in row["pictures"]] == [
            True,
            *[False] * (len(row["pictures"]) - 1),
        ]
    assert len(spatial) > 20


def _shape(text: str) -> str:
    """A sentence without its names, numbers and how many pictures it tells of."""
    names = "|".join([*CATEGORIES, *COLOURS, "object", *CARDINALS])
    words = re.sub(rf"\b({names})\b( ({names})\b)*", "X", re.sub(r"\d", "N", text))
    return re.sub(r"X in Picture N(, X in Picture N)*", "X in Picture N", words)


def test_questions_about_the_same_pictures_follow_each_other(made: tuple[Path, dict[str, Any]]) -> None:
    conversations = list(shards.conversations(made[0] / "shards", "sft"))
    assert max(map(len, conversations)) == RECIPE.turns == 4
    others = [turns for turns in conversations if turns[0].kind != "temporal"]
    assert sum(map(len, others)) > 3.5 * len(others)
    assert {len(turns) for turns in conversations if turns[0].kind == "temporal"} == {1, 2}
    for turns in conversations:
        assert len({s.pictures for s in turns}) == 1 and len({s.id for s in turns}) == len(turns)
        assert len({s.query for s in turns}) == len(turns)
    cells = made[1]["cells"].values()
    assert sum(cell["made"] + cell["further"] for cell in cells) == sum(len(t) for t in _all(made[0] / "shards"))


def _all(folder: Path) -> list[list[Any]]:
    rows = [row for file in sorted(folder.glob("*.parquet")) for row in pq.read_table(file).to_pylist()]
    return [[row, *row["further"]] for row in rows]


def test_a_target_mapped_back_is_an_annotation(made: tuple[Path, dict[str, Any]], roots: dict[str, Path]) -> None:
    known: dict[tuple[str, str, str], Box] = {}
    for name in roots:
        index = Index(made[0] / "indexes" / f"{name}.sqlite")
        for frame in map(index.frame, index.numbers().tolist()):
            known |= {(name, frame.id, i.id): i.box for i in frame.instances if i.box}
    for first, *more in _all(made[0] / "shards"):
        for question in (first, *more):
            for target in question["targets"]:
                frame = first["pictures"][target["picture"]]["frame"]
                assert known[first["source"], frame, target["annotation"]] == tuple(target["box"])


def test_the_same_seed_gives_the_same_files(roots: dict[str, Path], tmp_path: Path) -> None:
    again = official_export.write(tmp_path, 0, {"star": 240, "coco": 240})
    for name in again:
        for file in sorted(f for f in roots[name].rglob("*") if f.is_file())[:50]:
            assert file.read_bytes() == (again[name] / file.relative_to(roots[name])).read_bytes()


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_in_the_miniature_s_words_is_found(made: tuple[Path, dict[str, Any]], lie: str) -> None:
    """The checker reads phrases without quotation marks, and references that are alone, as strictly as the others."""
    for cell in RECIPE.cells:
        if RECIPE.rules_of(cell).pictures == (1, 1):
            continue
        index = Index(made[0] / "indexes" / f"{cell.source}.sqlite")
        bench, phrases = Context(index, RECIPE.rules_of(cell), RECIPE.wording), index.phrases()
        for anchor in draw_anchors(index, cell, 3)[:20].tolist():
            try:
                sample = compose(cell, bench, phrases, anchor, Random(f"{anchor}"))
            except Unfit:
                continue
            prove(sample, index, RECIPE.wording)
            false = LIES[lie](sample)
            if false is not None and false != sample:
                with pytest.raises(Untrue):
                    prove(false, index, RECIPE.wording)


def test_the_command_says_how_to_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setattr(official_export, "PICTURES", dict.fromkeys(official_export.PICTURES, 60))
    assert official_export.main([str(tmp_path / "a world")]) == 0
    *_, roots = shlex.split(capsys.readouterr().out)
    params = DataParameters(runs=str(tmp_path), roots=roots, share=0.0002)
    assert set(params.sources) == {"coco", "d3", "egoexo4d", "mvtrack", "star"}
    assert data.make(resolve(params))["cells"]["referential-coco"]["made"] == 1
    with pytest.raises(SystemExit, match="0"):
        official_export.main(["--help"])
