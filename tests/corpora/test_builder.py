"""From official files to shards: quotas, hashes, stages, pictures; read back by `datasets` and as samples."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from PIL import Image

from gemvg_repro.corpora import builder, cells, recipe, shards
from gemvg_repro.corpora.cells import prove
from gemvg_repro.corpora.composition.composed import ComposedSample, Rules
from gemvg_repro.corpora.composition.oracle import Untrue
from gemvg_repro.corpora.composition.wording import FILE, wording
from gemvg_repro.corpora.index import Index
from gemvg_repro.corpora.manifest import MANIFEST, manifest
from gemvg_repro.corpora.shard_schema import SCHEMA
from gemvg_repro.corpora.sources import index_source
from gemvg_repro.files import pictures
from gemvg_repro.files.pictures import MarkedPicture
from gemvg_repro.files.validation import Refused

from . import made_sources
from .composition.test_composers import composed

SMALL = recipe.load().scaled(0.001)


@pytest.fixture(scope="module")
def built(indexes: dict[str, Index], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("built") / "data"
    return folder, builder.build(SMALL, {name: index.file for name, index in indexes.items()}, folder)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [row for file in sorted(folder.glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def test_the_paper_s_counts() -> None:
    counts = {"referential": 97000, "semantic": 77000, "spatial": 20000, "temporal": 46000}
    whole = recipe.load()
    assert dict(whole.paper) == counts and sum(counts.values()) == 240_000
    for name, count in counts.items():
        assert sum(cell.count for cell in whole.cells if cell.counted_as == name) == count


def test_quotas_are_met_exactly_or_the_shortfall_is_named(built: tuple[Path, dict[str, Any]]) -> None:
    folder, made = built
    all_rows = rows(folder)
    for cell in SMALL.cells:
        entry = made["cells"][cell.name]
        assert entry["made"] == sum(row["cell"] == cell.name for row in all_rows)
        assert entry["short"] == cell.count - entry["made"] and entry["quota"] == cell.count
        assert entry["short"] == 0 or entry["not_made"]
    assert made["paper"]["referential"] == {"wanted": 97, "made": 97}
    assert len({row["digest"] for row in all_rows}) == len(all_rows) == made["rows"]


def test_a_cell_without_enough_anchors_says_how_many_are_short(indexes: dict[str, Index], tmp_path: Path) -> None:
    made = builder.build(recipe.load().scaled(0.01), {"star": indexes["star"].file}, tmp_path / "data")
    star = made["cells"]["reasoning-star"]
    assert star["made"] > 0 and star["short"] == star["quota"] - star["made"] > 0
    assert made["cells"]["referential-coco"]["not_made"] == {"the source is not there": 600}


def test_any_number_of_workers_gives_the_same_bytes(
    built: tuple[Path, dict[str, Any]], indexes: dict[str, Index], tmp_path: Path
) -> None:
    folder, made = built
    again = tmp_path / "again"
    files = {name: index.file for name, index in indexes.items()}
    assert builder.build(SMALL, files, again, workers=2) == made
    for file in sorted(folder.iterdir()):
        assert file.read_bytes() == (again / file.name).read_bytes()
    other = builder.build(SMALL.model_copy(update={"seed": 1}), files, tmp_path / "other")
    assert other["content"] != made["content"]


def test_other_rules_in_the_same_process_are_kept_to(indexes: dict[str, Index], tmp_path: Path) -> None:
    for most in (2, 3):
        smaller_recipe = SMALL.model_copy(update={"rules": {"pictures": [2, most]}})
        builder.build(smaller_recipe, {"d3": indexes["d3"].file}, tmp_path / str(most))
        assert max(len(row["pictures"]) for row in rows(tmp_path / str(most))) == most


def test_stages_share_out_the_samples(built: tuple[Path, dict[str, Any]]) -> None:
    all_rows = rows(built[0])
    share = {stage: sum(row[stage] for row in all_rows) / len(all_rows) for stage in recipe.STAGES}
    assert share["sft"] == 1
    assert share["cot_sft"] == pytest.approx(0.25, abs=0.04) and share["grpo"] == pytest.approx(0.07, abs=0.03)
    assert not any(row["cot_sft"] and row["grpo"] for row in all_rows)
    numbers = np.arange(100_000)
    for start in (0, 777, 50_000):
        flags = builder.stages_of(numbers[start : start + 1000], SMALL.stages)
        assert abs(flags["cot_sft"].mean() - 0.25) < 0.005 and abs(flags["grpo"].mean() - 0.07) < 0.005


def test_datasets_streams_the_shards(built: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, made = built
    files = [str(folder / entry["file"]) for entry in made["shards"]]
    stream = load_dataset("parquet", data_files=files, split="train", streaming=True, cache_dir=str(tmp_path))
    assert [row["digest"] for row in stream] == [row["digest"] for row in rows(folder)]


def test_licences_travel_with_every_row(built: tuple[Path, dict[str, Any]]) -> None:
    folder, made = built
    assert all(row["licence"] for row in rows(folder))
    assert set(made["sources"]) == {"coco", "d3", "egoexo4d", "mvtrack", "star"}
    terms = (folder / builder.TERMS).read_text()
    assert all(source["licence"] and source["licence"] in terms for source in made["sources"].values())


def test_changed_missing_and_foreign_shards_are_refused(indexes: dict[str, Index], tmp_path: Path) -> None:
    folder = tmp_path / "data"
    files = {"star": indexes["star"].file}
    made = builder.build(SMALL, files, folder)
    shards.verify(folder)
    with pytest.raises(Refused, match="exists"):
        builder.build(SMALL, files, folder)
    filled = next(folder / e["file"] for e in made["shards"] if e["rows"])
    table = pq.read_table(filled)
    queries = table.column("query").to_pylist()
    other = table.set_column(table.schema.get_field_index("query"), "query", [[queries[0] + "!", *queries[1:]]])
    for changed in (table.slice(1), other):
        pq.write_table(changed, filled)
        with pytest.raises(Refused, match="not the content"):
            shards.verify(folder)
    filled.write_bytes(b"nothing")
    with pytest.raises(Refused, match="not the content"):
        shards.verify(folder)
    filled.unlink()
    with pytest.raises(Refused, match="cannot be read"):
        shards.verify(folder)
    older = {**made, "shards": [{k: v for k, v in e.items() if k != "sha256"} for e in made["shards"]]}
    (folder / MANIFEST).write_text(json.dumps(older))
    with pytest.raises(Refused, match=r"has no sha256 of train-.*; build the data anew"):
        shards.verify(folder)
    (folder / MANIFEST).write_text("{}")
    with pytest.raises(Refused, match="no manifest"):
        shards.verify(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"picture": 9}, "a target is in picture 9, from 0, of"),
        ({"picture": -1}, "a target is in picture -1"),
        ({"box": [0.5, 0.1, 0.2, 0.9]}, "inverted corners"),
        ({"box": [0.5, 0.1, 1.2, 0.9]}, "lies outside its image"),
    ],
)
def test_a_target_that_cannot_be_is_refused_on_reading(
    built: tuple[Path, dict[str, Any]], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(built[0], folder)
    file = next(folder / e["file"] for e in built[1]["shards"] if e["rows"])
    changed_rows = pq.read_table(file).to_pylist()
    next(row for row in changed_rows if row["targets"])["targets"][0].update(change)
    pq.write_table(pa.Table.from_pylist(changed_rows, schema=SCHEMA), file)
    with pytest.raises(Refused, match=message):
        list(shards.samples(folder, "sft", roots=dict.fromkeys(built[1]["sources"], tmp_path)))


def test_pictures_by_reference_and_embedded_are_the_same(
    indexes: dict[str, Index], roots: dict[str, Path], tmp_path: Path
) -> None:
    pictures = {"star": roots["star"] / "frames"}
    files = {"star": indexes["star"].file}
    builder.build(SMALL, files, tmp_path / "by-reference", pictures=pictures)
    builder.build(SMALL, files, tmp_path / "embedded", pictures=pictures, embed=True)
    referred = list(shards.samples(tmp_path / "by-reference", "sft"))
    embedded = list(shards.samples(tmp_path / "embedded", "sft"))
    assert [s.query for s in referred] == [s.query for s in embedded] and len(referred) > 10
    drawn = 0
    for a, b in zip(referred, embedded, strict=True):
        for p, q in zip(a.pictures, b.pictures, strict=True):
            assert p.pixels().shape == q.pixels().shape == (270, 480, 3)
            assert np.abs(p.pixels().astype(int) - q.pixels()).mean() < 2
            drawn += isinstance(p, MarkedPicture)
    assert drawn > 3
    manifest_file = tmp_path / "by-reference" / MANIFEST
    shards.verify(manifest_file.parent)
    manifest_file.write_text(manifest_file.read_text().replace(str(pictures["star"].resolve()), "/moved/away"))
    with pytest.raises(Refused, match="were in /moved/away"):
        shards.verify(manifest_file.parent)
    builder.build(SMALL, files, tmp_path / "nowhere")
    with pytest.raises(Refused, match="no folder of them is known"):
        next(iter(shards.samples(tmp_path / "nowhere", "sft")))


def test_embedded_pictures_are_bounded_and_scaled_as_files_are(
    indexes: dict[str, Index], roots: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, given = tmp_path / "data", {"star": roots["star"] / "frames"}
    builder.build(SMALL, {"star": indexes["star"].file}, folder, pictures=given, embed=True)
    shapes = {p.pixels().shape for s in shards.samples(folder, "sft", most_pixels=30_000) for p in s.pictures}
    assert shapes == {(129, 230, 3)}  # of 270x480
    monkeypatch.setattr(pictures, "MAX_STORED_PIXELS", 480 * 270 - 1)
    with pytest.raises(Refused, match="has 480x270 pixels; at most 129599"):
        next(iter(shards.samples(folder, "sft"))).pictures[0].pixels()


def test_a_mark_is_a_red_frame_on_the_box(tmp_path: Path) -> None:
    from gemvg_repro.files.pictures import FilePicture

    Image.new("RGB", (100, 50)).save(tmp_path / "a.png")
    pixels = MarkedPicture(FilePicture(tmp_path, "a.png"), (0.1, 0.2, 0.5, 0.8)).pixels()
    red = np.argwhere(pixels[..., 0] == 255)
    assert (red.min(axis=0).tolist(), red.max(axis=0).tolist()) == ([10, 10], [39, 49])
    assert pixels[25, 30].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"paper": {"referential": 1}}, "add up to"),
        ({"stages": {"sft": 1.0, "cot_sft": 0.9, "grpo": 0.2}}, "share no sample"),
        ({"stages": {"sft": 1.0}}, "stages"),
        ({"shards": 0}, "shards"),
        ({"seeds": 1}, "seeds"),
        ({"rules": {"pictures": "two"}}, "pictures"),
        ({"rules": {"pictures": [3, 2]}}, "least"),
    ],
)
def test_a_wrong_recipe_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    content = {**recipe.load().model_dump(mode="json", exclude={"wording"}), **change}
    file = tmp_path / "recipe.yaml"
    file.write_text(json.dumps(content))
    with pytest.raises(Refused, match=message):
        recipe.load(file)


def test_a_composer_that_errs_stops_the_build(
    indexes: dict[str, Index], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    honest = cells.compose

    def err(*arguments: Any) -> ComposedSample:
        sample = honest(*arguments)
        return replace(sample, targets=sample.targets[1:]) if sample.targets else sample

    monkeypatch.setattr(cells, "compose", err)
    with pytest.raises(Untrue, match="composers"):
        builder.build(SMALL, {"d3": indexes["d3"].file}, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_the_command_makes_and_repeats(
    roots: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from gemvg_repro.corpora import mg_data, statistics

    folder = tmp_path / "mg"
    command = [str(folder), "--root", f"star={roots['star']}", "--share", "0.001", "--workers", "1"]
    assert mg_data.main(command) == 0
    output = capsys.readouterr().out
    assert "temporal-star" in output and "paper: referential" in output and "samples, content" in output
    samples = statistics.overview(shards.samples(folder / "shards", "sft"))
    counted = statistics.tables(samples)["kind and source"]
    assert counted.loc["All", "All"] == len(samples) == manifest(folder / "shards")["rows"]
    assert mg_data.main(command) == 1
    assert "exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--root", "coco"], "expected NAME=PATH"),
        (["--root", "nuscenes=/x"], "nuscenes"),
        (["--root", "coco=/nowhere"], "/nowhere"),
        ([], "no source is given"),
        (["--recipe", "/nowhere.yaml", "--root", "coco=/x"], "no recipe"),
    ],
)
def test_what_the_command_cannot_do_it_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    from gemvg_repro.corpora import mg_data

    assert mg_data.main([str(tmp_path / "mg"), *options]) == 1
    assert message in capsys.readouterr().err


def test_a_command_that_composes_nothing_fails_and_says_why(
    roots: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from gemvg_repro.corpora import mg_data

    content = recipe.load().model_dump(mode="json", exclude={"wording"})
    content["rules"] = {"smallest_target": 1.0, "smallest_reference": 1.0}
    (tmp_path / "recipe.yaml").write_text(json.dumps({**content, "wording": str(FILE)}))
    command = [str(tmp_path / "mg"), "--root", f"star={roots['star']}", "--share", "0.001", "--workers", "1"]
    assert mg_data.main([*command, "--recipe", str(tmp_path / "recipe.yaml")]) == 1
    message = capsys.readouterr().err
    assert "no sample could be composed; nothing is written" in message
    assert re.search(r"temporal-star: no object that can be a reference: 1\d\d\n", message)
    assert re.search(r"star: no box: \d+\n", message)
    assert sorted(path.name for path in (tmp_path / "mg").iterdir()) == ["indexes"]
    assert mg_data.main(command) == 0
    assert re.search(r"temporal-star +10 +10 +0\n", capsys.readouterr().out)


def test_a_file_of_wordings_that_lacks_something_is_refused(tmp_path: Path) -> None:
    content = {**recipe.load().model_dump(mode="json", exclude={"wording"}), "wording": "words.yaml"}
    file, words = tmp_path / "recipe.yaml", tmp_path / "words.yaml"
    file.write_text(json.dumps(content))
    with pytest.raises(Refused, match=r"words\.yaml is no file of wordings"):
        recipe.load(file)
    for text in ("[]", "queries: {}", "queries: 3"):
        words.write_text(text)
        with pytest.raises(Refused, match=r"has no list of texts at queries: referential\.phrase"):
            wording.cache_clear()
            recipe.load(file)
    words.write_text(FILE.read_text())
    wording.cache_clear()
    assert recipe.load(file).wording == words


def test_a_reference_that_is_alone_needs_no_mark(indexes: dict[str, Index]) -> None:
    samples = list(composed(indexes["coco"], "semantic", Rules(alone=1, common=0), most=900))
    assert len(samples) > 10
    for sample in samples:
        prove(sample, indexes["coco"])
        assert all(p.mark is None for p in sample.pictures) and "<|box_start|>" not in sample.query
        at = int(re.findall(r"Picture (\d)", sample.query)[0]) - 1
        frame = indexes["coco"].by_id(sample.pictures[at].frame)
        assert len(frame.instances) == 1  # type: ignore[union-attr]
        moved = replace(sample, query=sample.query.replace(f"Picture {at + 1}", f"Picture {2 - at % 2}"))
        if moved != sample:
            with pytest.raises(Untrue):
                prove(moved, indexes["coco"])


def test_another_process_makes_the_same_of_the_same_files(tmp_path: Path) -> None:
    """From official files on, with another order of sets: texts hash otherwise in every process of Python."""
    roots = {"coco": tmp_path / "coco", "d3": tmp_path / "d3"}
    made_sources.coco(roots["coco"], 40, categories=5)
    made_sources.d3(roots["d3"], 3, 10)
    made_sources.paint(roots)
    manifests = []
    for seed in ("1", "2"):
        command = [sys.executable, "-m", "gemvg_repro.corpora.mg_data", str(tmp_path / seed), "--share", "0.0005"]
        command += ["--workers", "1", *(f"--root={name}={root}" for name, root in roots.items())]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PYTHONHASHSEED": seed})
        manifests.append(manifest(tmp_path / seed / "shards"))
    assert manifests[0] == manifests[1] and manifests[0]["rows"] > 20


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_a_picture_that_cannot_be_read_is_left_out_and_counted(tmp_path: Path, content: bytes | None) -> None:
    """Empty, no image, or cut off in the middle: it would end a training on the shards midway."""
    made_sources.coco(tmp_path, 12, categories=2)
    made_sources.paint({"coco": tmp_path})
    folder = tmp_path / "train2017"
    broken = sorted(folder.iterdir())[:4]
    for picture in broken:
        picture.write_bytes(picture.read_bytes()[:-40] if content is None else content)
    index = index_source("coco", tmp_path, tmp_path / "coco.sqlite")
    files, roots = {"coco": index.file}, {"coco": folder}
    manifests = [
        builder.build(SMALL, files, tmp_path / f"data-{workers}", pictures=roots, workers=workers) for workers in (1, 2)
    ]
    assert manifests[0]["content"] == manifests[1]["content"]
    reasons = [cell["not_made"].get("a picture that cannot be read", 0) for cell in manifests[0]["cells"].values()]
    assert sum(reasons) > 0
    samples = list(shards.samples(tmp_path / "data-1", "sft"))
    assert samples
    for sample in samples:
        assert all(picture.pixels().size for picture in sample.pictures)
