"""Layouts as annotation tools write them: annotation file, folders with images, and the folder that is meant."""

from pathlib import Path

import pytest

from gemvg_repro.files.image_folder import find
from gemvg_repro.files.validation import Refused

NAMES = ["a.jpg", "b.jpg", "c.jpg"]

LAYOUTS: dict[str, tuple[str, list[str], str]] = {
    "beside": ("boxes.json", ["."], "."),
    "beside, and images too": ("boxes.json", [".", "images"], "."),
    "COCO": ("annotations/instances_val2017.json", ["train2017", "val2017"], "val2017"),
    "COCO, train": ("annotations/instances_train2017.json", ["train2017", "val2017"], "train2017"),
    "COCO, images": ("annotations/instances_val2017.json", ["images/train2017", "images/val2017"], "images/val2017"),
    "DETR, a set of one's own": ("annotations/custom_val.json", ["train2017", "val2017"], "val2017"),
    "YOLOX": ("annotations/train.json", ["train", "val"], "train"),
    "COCO, nothing else": ("annotations/instances_val2017.json", ["val2017"], "val2017"),
    "Roboflow": ("valid/_annotations.coco.json", ["train", "valid"], "valid"),
    "Roboflow, images": ("train/images.json", ["train/images", "valid/images"], "train/images"),
    "Roboflow, images of the split": ("valid/_annotations.coco.json", ["train/images", "valid/images"], "valid/images"),
    "CVAT": ("annotations/instances_default.json", ["images"], "images"),
    "CVAT, subset": ("annotations/instances_default.json", ["images/default"], "images/default"),
    "CVAT, subsets": ("annotations/instances_Train.json", ["images/Train", "images/Validation"], "images/Train"),
    "labelme": ("annotations.json", ["JPEGImages"], "JPEGImages"),
    "labels and images": ("labels/train.json", ["images/train", "images/val"], "images/train"),
    "valid for val": ("annotations/val.json", ["train", "valid"], "valid"),
    "a name of one's own": ("annotations/boxes.json", ["photos"], "photos"),
    "below the file": ("boxes.json", ["my photos"], "my photos"),
}


def lay(root: Path, folders: list[str], names: list[str] = NAMES) -> None:
    for folder in folders:
        for name in names:
            (root / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (root / folder / name).touch()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_folder_of_a_layout(tmp_path: Path, layout: str) -> None:
    file, folders, expected = LAYOUTS[layout]
    lay(tmp_path / "set", folders)
    lay(tmp_path / "another", ["val2017", "images"])
    (tmp_path / "set" / file).parent.mkdir(parents=True, exist_ok=True)
    folder = find(tmp_path / "set" / file, NAMES)
    assert folder.path.resolve() == (tmp_path / "set" / expected).resolve()
    assert folder.path in folder.searched and not any("another" in str(path) for path in folder.searched)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("prefix", ["sub/", "./", "sub/../"])
def test_paths_with_folders_of_their_own(tmp_path: Path, layout: str, prefix: str) -> None:
    file, folders, expected = LAYOUTS[layout]
    names = [prefix + name for name in NAMES]
    lay(tmp_path / "set", [f"{folder}/sub" for folder in folders] + folders)
    (tmp_path / "set" / file).parent.mkdir(parents=True, exist_ok=True)
    assert find(tmp_path / "set" / file, names).path.resolve() == (tmp_path / "set" / expected).resolve()


def test_paths_from_the_root_of_the_set(tmp_path: Path) -> None:
    lay(tmp_path, ["train2017", "val2017", "annotations"], ["a.jpg"])
    assert find(tmp_path / "annotations" / "instances_val2017.json", ["train2017/a.jpg"]).path == tmp_path


def test_another_split_is_never_taken(tmp_path: Path) -> None:
    """instances_val2017.json whose own images are not unpacked, beside train2017 with images of the same names."""
    lay(tmp_path, ["train2017"])
    (tmp_path / "annotations").mkdir()
    folder = find(tmp_path / "annotations" / "instances_val2017.json", NAMES)
    assert folder.path == tmp_path / "annotations"
    assert str(tmp_path) in folder.message and "-p images FOLDER" in folder.message


def test_the_folder_with_most_images_is_taken(tmp_path: Path) -> None:
    lay(tmp_path, ["."], NAMES[:1])
    lay(tmp_path, ["images"], NAMES)
    assert find(tmp_path / "boxes.json", NAMES).path == tmp_path / "images"


def test_folders_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    lay(tmp_path, ["first", "second"])
    (tmp_path / "annotations").mkdir()
    with pytest.raises(Refused, match=r"can be those of .*first, .*second; say which: -p images .*first"):
        find(tmp_path / "annotations" / "boxes.json", NAMES)
    given = find(tmp_path / "annotations" / "boxes.json", NAMES, tmp_path / "second")
    assert given.path == tmp_path / "second"


def test_a_linked_folder_is_one_with_its_target(tmp_path: Path) -> None:
    lay(tmp_path, ["images"])
    (tmp_path / "linked").symlink_to("images")
    (tmp_path / "annotations").mkdir()
    assert find(tmp_path / "annotations" / "boxes.json", NAMES).path == tmp_path / "images"


def test_paths_of_windows(tmp_path: Path) -> None:
    lay(tmp_path, ["."], ["JPEGImages/a.jpg", "b\\c.jpg"])
    folder = find(tmp_path / "annotations.json", ["JPEGImages\\a.jpg", "b\\c.jpg"])
    assert folder.path == tmp_path
    assert folder.paths == {"JPEGImages\\a.jpg": "JPEGImages/a.jpg", "b\\c.jpg": "b\\c.jpg"}


def test_nowhere(tmp_path: Path) -> None:
    for names in (NAMES, [], ["x" * 300], ["../a.jpg"]):
        assert find(tmp_path / "boxes.json", names).path == tmp_path
