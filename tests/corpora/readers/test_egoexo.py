import json
from pathlib import Path
from typing import Any

import pytest

from gemvg_repro.corpora.frames import AnnotatedFrame, Skips
from gemvg_repro.corpora.readers import egoexo
from gemvg_repro.files.validation import Refused

MASK = {"width": 8, "height": 6, "encodedMask": "LwZhAZIQ3I", "intSegClicks": []}


def official() -> dict[str, Any]:
    cameras = {
        "aria01_214-1": {"annotation": {"0": MASK}, "annotation_fps": 1, "annotated_frames": [0, 30]},
        "cam04": {"annotation": {"0": MASK}, "annotation_fps": 1, "annotated_frames": [0]},
    }
    take = {"scenario": "Cooking", "take_name": "demo_01", "object_masks": {"stainless bowl_0": cameras}}
    return {"annotations": {"take-uid-1": take}}


def read(folder: Path, content: Any, root: Path | None = None) -> tuple[dict[str, AnnotatedFrame], Skips]:
    file = folder / "relations_train.json"
    file.write_text(json.dumps(content))
    skips = Skips()
    return {f.id: f for f in egoexo.read(file, skips, root)}, skips


def test_the_official_form_by_hand(tmp_path: Path) -> None:
    frames, skips = read(tmp_path, official())
    assert list(frames) == ["take-uid-1/aria01_214-1/0", "take-uid-1/aria01_214-1/30", "take-uid-1/cam04/0"]
    ego = frames["take-uid-1/aria01_214-1/0"]
    (bowl,) = ego.instances
    assert (bowl.category, bowl.identity) == ("stainless bowl", "stainless bowl_0")
    assert bowl.box == (2 / 8, 1 / 6, 5 / 8, 4 / 6)
    assert (ego.path, ego.member) == ("takes/demo_01/frame_aligned_videos/aria01_214-1.mp4", 0)
    hidden = frames["take-uid-1/aria01_214-1/30"]
    assert [i.visible for i in hidden.instances] == [False]
    assert (hidden.member, hidden.time, skips.counts) == (30, 30, {})


def test_processed_takes_give_the_same_boxes(tmp_path: Path) -> None:
    take = tmp_path / "take-uid-1"
    mask = {"size": [6, 8], "counts": "=33000a0"}
    (take / "cam04").mkdir(parents=True)
    (take / "cam04" / "0.jpg").touch()
    content = {"masks": {"stainless bowl_0": {"cam04": {"0": mask, "30": mask}}}, "subsample_idx": [0, 30, 60]}
    (take / "annotation.json").write_text(json.dumps(content))
    skips = Skips()
    (frame,) = egoexo.read(tmp_path, skips)
    assert frame.instances[0].box == (2 / 8, 1 / 6, 5 / 8, 4 / 6)
    assert (frame.path, frame.member) == ("take-uid-1/cam04/0.jpg", None)
    assert skips.counts == {"picture or video missing": 1}


@pytest.mark.parametrize(
    ("mask", "fault"),
    [
        ({**MASK, "encodedMask": "LwZhAZ"}, "mask that cannot be read"),
        ({**MASK, "encodedMask": 7}, "mask that cannot be read"),
        ({**MASK, "width": 9}, "mask that cannot be read"),
        ({**MASK, "width": -8}, "mask without a usable size"),
        ({"size": [6, 8], "counts": [48]}, "empty mask"),
        (None, "mask that cannot be read"),
    ],
)
def test_a_broken_mask_makes_its_object_unclear(tmp_path: Path, mask: Any, fault: str) -> None:
    content = official()
    content["annotations"]["take-uid-1"]["object_masks"]["stainless bowl_0"]["cam04"]["annotation"]["0"] = mask
    frames, skips = read(tmp_path, content)
    assert frames["take-uid-1/cam04/0"].instances == ()
    assert frames["take-uid-1/cam04/0"].unclear == {"stainless bowl"}
    assert skips.counts == {fault: 1}


def test_what_is_no_relations_file_is_refused(tmp_path: Path) -> None:
    contents: tuple[Any, ...] = ([], {}, {"annotations": {}})
    for content in contents:
        with pytest.raises(Refused, match=r"relations_train\.json"):
            read(tmp_path, content)
