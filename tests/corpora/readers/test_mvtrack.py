from pathlib import Path

import pytest
from PIL import Image

from gemvg_repro.corpora.frames import Skips
from gemvg_repro.corpora.readers import mvtrack
from gemvg_repro.files.validation import Refused


def write(root: Path, view: int, boxes: str, hidden: str, pictures: tuple[int, ...] = (1, 2)) -> Path:
    folder = root / "ashbin1" / f"ashbin1-{view}"
    (folder / "img").mkdir(parents=True)
    for n in pictures:
        Image.new("RGB", (200, 100)).save(folder / "img" / f"{n:05d}.jpg")
    (folder / "groundtruth.txt").write_text(boxes)
    (folder / "invisible.txt").write_text(hidden)
    return folder


def test_the_official_form_by_hand(tmp_path: Path) -> None:
    write(tmp_path, 1, "10.0,20.0,30.0,40.0\n12.0,21.0,30.0,40.0\n", "0,0")
    write(tmp_path, 2, "100.0,50.0,20.0,25.0\n0.0,0.0,0.0,0.0\n", "0,1")
    (tmp_path / "train_split.txt").write_text("ashbin1-1\nashbin1-2\nashbin9-1\n")
    skips = Skips()
    frames = list(mvtrack.read(tmp_path, skips, "train"))
    assert [(f.id, f.scene, f.view, f.time) for f in frames] == [
        ("ashbin1-1/1", "ashbin1", "1", 1), ("ashbin1-1/2", "ashbin1", "1", 2),
        ("ashbin1-2/1", "ashbin1", "2", 1), ("ashbin1-2/2", "ashbin1", "2", 2),
    ]  # fmt: skip
    assert [f.instances[0].box for f in frames] == [
        (0.05, 0.2, 0.2, 0.6), (0.06, 0.21, 0.21, 0.61), (0.5, 0.5, 0.6, 0.75), None,
    ]  # fmt: skip
    assert frames[0].path == "ashbin1/ashbin1-1/img/00001.jpg"
    assert {(f.instances[0].category, f.instances[0].identity) for f in frames} == {("ashbin", "ashbin1")}
    assert skips.counts == {"sequence missing": 1}


def test_pictures_that_are_left_out_keep_their_numbers(tmp_path: Path) -> None:
    write(tmp_path, 1, "1,2,30,40\n2,2,30,40\n4,2,30,40\n", "0\n0\n0\n", pictures=(1, 3))
    skips = Skips()
    frames = list(mvtrack.read(tmp_path, skips))
    assert [(f.time, f.instances[0].box) for f in frames] == [
        (1, (0.005, 0.02, 0.155, 0.42)),
        (3, (0.02, 0.02, 0.17, 0.42)),
    ]
    assert skips.counts == {"picture missing": 1}


@pytest.mark.parametrize(("boxes", "hidden"), [("1,2,3,4\n", "0,0"), ("1,2,3,4\n", "2"), ("", ""), ("1,2,3,4\n", "x")])
def test_files_that_do_not_agree_skip_their_sequence(tmp_path: Path, boxes: str, hidden: str) -> None:
    write(tmp_path, 1, boxes, hidden)
    skips = Skips()
    assert list(mvtrack.read(tmp_path, skips)) == []
    assert sum(skips.counts.values()) == 1


@pytest.mark.parametrize("line", ["nan,2,3,4", "1,2,3", "1,2,0,4", "190,2,30,4", "a,b,c,d", "inf,0,1,1", "-9,2,3,4"])
def test_a_broken_line_gives_no_frame(tmp_path: Path, line: str) -> None:
    write(tmp_path, 1, f"1,2,3,4\n{line}\n", "0,0")
    skips = Skips()
    assert [f.time for f in mvtrack.read(tmp_path, skips)] == [1]
    assert sum(skips.counts.values()) == 1


def test_a_last_line_without_its_break_is_not_used(tmp_path: Path) -> None:
    write(tmp_path, 1, "1,2,30,40\n2,2,30,4", "0,0")  # of "2,2,30,40"
    skips = Skips()
    assert [f.time for f in mvtrack.read(tmp_path, skips)] == [1]
    assert skips.counts == {"last line that may be cut off": 1}


def test_no_sequence_and_no_split_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="groundtruth"):
        list(mvtrack.read(tmp_path, Skips()))
    write(tmp_path, 1, "1,2,3,4\n", "0")
    with pytest.raises(Refused, match="test_split"):
        list(mvtrack.read(tmp_path, Skips(), "test"))
