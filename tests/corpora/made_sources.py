"""Official files of the five sources, made: their keys and layout, invented content, any size, the same for a seed."""

from __future__ import annotations

import io
import json
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gemvg_repro.corpora.readers.masks import lz_encode


def rle(runs: list[int]) -> str:
    """COCO's compressed counts (maskApi.c, rleToString)."""
    text = ""
    for n, run in enumerate(runs):
        value = run - runs[n - 2] if n > 2 else run
        while True:
            piece = value & 0x1F
            value >>= 5
            more = value != -1 if piece & 0x10 else value != 0
            text += chr((piece | (0x20 if more else 0)) + 48)
            if not more:
                break
    return text


def rectangle(x: int, y: int, w: int, h: int, width: int, height: int) -> list[int]:
    """The runs of a filled rectangle."""
    runs = [x * height + y]
    for column in range(w):
        runs += [h, height - h] if column < w - 1 else [h]
    return [*runs, width * height - sum(runs)]


def coco(root: Path, images: int, seed: int = 0, categories: int = 80) -> Path:
    """annotations/instances_train2017.json, without picture files; written as a stream."""
    rng = random.Random(seed)
    file = root / "annotations" / "instances_train2017.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    sizes = [(640, 480), (480, 640), (640, 427), (500, 375)]
    weights = [1 / (n + 1) for n in range(categories)]
    with file.open("w") as out:
        out.write('{"info": {"year": 2017}, "licenses": [], "images": [')
        shapes = []
        for n in range(images):
            w, h = rng.choice(sizes)
            shapes.append((w, h))
            record = {"id": n + 9, "file_name": f"{n + 9:012d}.jpg", "width": w, "height": h, "license": 1}
            out.write((", " if n else "") + json.dumps(record))
        out.write('], "annotations": [')
        number = 0
        for n, (w, h) in enumerate(shapes):
            present = rng.choices(range(categories), weights, k=rng.randint(1, 4))
            for category in present:
                for _ in range(rng.choice((1, 1, 1, 2, 3))):
                    bw, bh = rng.uniform(0.02, 0.6) * w, rng.uniform(0.02, 0.6) * h
                    x, y = rng.uniform(0, w - bw), rng.uniform(0, h - bh)
                    box = [round(v, 2) for v in (x, y, bw, bh)]
                    crowd = int(rng.random() < 0.01)
                    outline = [round(v, 2) for v in (x, y, x + bw, y, x + bw, y + bh, x, y + bh) * 3]
                    record = {
                        "segmentation": [outline] if not crowd else {"size": [h, w], "counts": [0, 9, w * h - 9]},
                        "area": round(bw * bh, 2), "iscrowd": crowd, "image_id": n + 9, "bbox": box,
                        "category_id": category + 1, "id": number + 100,
                    }  # fmt: skip
                    out.write((", " if number else "") + json.dumps(record))
                    number += 1
        out.write('], "categories": ')
        names = [
            {"id": n + 1, "name": f"thing {n}" if n else "person", "supercategory": "x"} for n in range(categories)
        ]
        out.write(json.dumps(names) + "}")
    return file


def d3(root: Path, groups: int, images: int, seed: int = 0) -> Path:
    """d3_pkl/*.pkl with `images` to a group and four sentences each, boxes wrapped in arrays as in the original."""
    rng = random.Random(seed)
    records: dict[str, dict[int, dict[str, Any]]] = {k: {} for k in ("images", "annotations", "sentences", "groups")}
    for g in range(groups):
        inner = [g * 4 + n + 1 for n in range(4)]
        for s in inner:
            text = f"a thing of group {g} with mark {s}"
            records["sentences"][s] = {
                "id": s, "anno_id": [], "group_id": [g], "is_negative": s % 4 == 0, "raw_sent": text,
                "raw_sent_zh": "x",
            }  # fmt: skip
        records["groups"][g] = {
            "id": g, "pos_sent_id": inner[:3], "inner_sent_id": inner, "outer_sent_id": [], "img_id": [],
            "scene": ["park"], "group_name": f"group {g}", "group_name_zh": "x",
        }  # fmt: skip
        for n in range(images):
            i = g * images + n
            records["images"][i] = {
                "id": i, "file_name": f"group_{g:03d}/{i:07d}.jpg", "height": 400, "width": 600,
                "flickr_url": f"https://live.staticflickr.com/1/{i + 1000000}_a.jpg", "anno_id": [], "group_id": g,
                "license": 0,
            }  # fmt: skip
            for _ in range(rng.choice((0, 1, 1, 2, 3))):
                a = len(records["annotations"])
                w, h = rng.randint(20, 300), rng.randint(20, 200)
                box = [rng.randint(0, 600 - w), rng.randint(0, 400 - h), w, h]
                chosen = sorted(rng.sample(inner, rng.randint(1, 2)))
                records["annotations"][a] = {
                    "id": a, "sent_id": chosen, "segmentation": [{"size": [400, 600], "counts": "x"}],
                    "area": np.array([w * h]), "iscrowd": 0, "image_id": i, "bbox": np.array([box]), "group_id": g,
                }  # fmt: skip
    folder = root / "d3_pkl"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in records.items():
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(content))
    return folder


def egoexo(root: Path, takes: int, moments: int, objects: int = 4, seed: int = 0) -> Path:
    """annotations/relations_train.json: an aria and three other cameras, each moment 30 frames after the other."""
    rng = random.Random(seed)
    file = root / "annotations" / "relations_train.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    cameras = {"aria01_214-1": (1408, 1408), "cam01": (3840, 2160), "cam02": (3840, 2160), "cam04": (3840, 2160)}
    masks = {}
    for camera, (w, h) in cameras.items():
        masks[camera] = [lz_encode(rle(rectangle(*_place(rng, w, h), w, h))) for _ in range(12)]
    with file.open("w") as out:
        out.write('{"annotations": {')
        for t in range(takes):
            take: dict[str, Any] = {"scenario": "Cooking", "take_name": f"demo_{t:04d}", "object_masks": {}}
            for o in range(objects):
                cams = take["object_masks"][f"{('bowl', 'steel pan', 'knife', 'cup')[o % 4]}_{o}"] = {}
                for camera, (w, h) in cameras.items():
                    frames = [30 * m for m in range(moments)]
                    seen = [f for f in frames if rng.random() < 0.85]
                    notes = {
                        str(f): {"width": w, "height": h, "encodedMask": rng.choice(masks[camera]), "intSegClicks": {}}
                        for f in seen
                    }
                    cams[camera] = {"annotation": notes, "annotation_fps": 1, "annotated_frames": frames}
            out.write((", " if t else "") + f'"take-{t:04d}": ' + json.dumps(take))
        out.write("}}")
    return file


def _place(rng: random.Random, width: int, height: int) -> tuple[int, int, int, int]:
    w, h = rng.randint(100, 300), rng.randint(100, 400)
    return rng.randint(10, width - w - 10), rng.randint(10, height - h - 10), w, h


def mvtrack(root: Path, objects: int, frames: int, views: int = 3, seed: int = 0) -> Path:
    """<objN>/<objN>-<view>/ with the first picture real and the others empty files."""
    rng = random.Random(seed)
    for o in range(objects):
        name = f"{('ashbin', 'umbrella', 'toy_car')[o % 3]}{o + 1}"
        for view in range(1, views + 1):
            folder = root / name / f"{name}-{view}"
            (folder / "img").mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (640, 360), (40, 60, 90)).save(folder / "img" / "00001.jpg")
            lines, hidden = [], []
            for n in range(frames):
                if n:
                    (folder / "img" / f"{n + 1:05d}.jpg").touch()
                gone = rng.random() < 0.1
                w, h = rng.uniform(30, 90), rng.uniform(30, 90)
                x, y = rng.uniform(5, 540), rng.uniform(5, 260)
                lines.append("0.0,0.0,0.0,0.0" if gone else f"{x:.1f},{y:.1f},{w:.1f},{h:.1f}")
                hidden.append("1" if gone else "0")
            (folder / "groundtruth.txt").write_text("\n".join(lines) + "\n")
            (folder / "invisible.txt").write_text(",".join(hidden))
    return root


def star(root: Path, videos: int, questions: int = 3, seed: int = 0) -> Path:
    """STAR_train.json, and frames/<video>.mp4/ with the keyframes, all of one colour."""
    rng = random.Random(seed)
    content = io.BytesIO()
    Image.new("RGB", (480, 270), (9, 99, 9)).save(content, "PNG")
    picture = content.getvalue()
    file = root / "STAR_train.json"
    root.mkdir(parents=True, exist_ok=True)
    names = {"o006": "table", "o016": "sandwich", "o017": "book", "o023": "bag", "o029": "chair"}
    with file.open("w") as out:
        out.write("[")
        for v in range(videos):
            video = f"V{v:04d}"
            keys = [f"{k:06d}" for k in sorted(rng.sample(range(1, 900), 8))]
            folder = root / "frames" / f"{video}.mp4"
            folder.mkdir(parents=True, exist_ok=True)
            situations = {}
            for key in keys:
                (folder / f"{key}.png").write_bytes(picture)
                labels = rng.sample(sorted(names), 3)
                boxes: list[Any] = []
                for _ in labels:
                    w, h = rng.uniform(20, 200), rng.uniform(20, 120)
                    x, y = rng.uniform(1, 479 - w), rng.uniform(1, 269 - h)
                    boxes.append([round(q, 2) for q in (x, y, x + w, y + h)] if rng.random() < 0.9 else None)
                situations[key] = {
                    "rel_pairs": [["o000", labels[0]]], "rel_labels": ["r002"], "actions": ["a051"],
                    "bbox": boxes, "bbox_labels": labels,
                }  # fmt: skip
            for q in range(questions):
                label = rng.choice(sorted(names))
                answer = f"The {names[label]}."
                chosen = sorted(rng.sample(keys, 6))
                record = {
                    "question_id": f"Interaction_T1_{v * questions + q}",
                    "question": f"Which object {('did the person put down', 'was held by the person')[q % 2]}?",
                    "video_id": video, "start": 1.0, "end": 20.0, "answer": answer if q < 2 else "Yes.",
                    "question_program": [{"function": "Situations", "value_input": []}],
                    "choices": [{"choice_id": 0, "choice": answer, "choice_program": []}],
                    "situations": {k: situations[k] for k in chosen},
                }  # fmt: skip
                out.write((", " if v or q else "") + json.dumps(record))
        out.write("]")
    return file


def conversations(root: Path, number: int, seed: int = 0) -> Path:
    """understanding.json with two turns about two pictures each, and the pictures."""
    rng = random.Random(seed)
    (root / "images").mkdir(parents=True, exist_ok=True)
    records = []
    for n in range(number):
        names = [f"images/{n:04d}-{k}.jpg" for k in range(2)]
        shades = [rng.randrange(256) for _ in names]
        for name, shade in zip(names, shades, strict=True):
            Image.new("RGB", (32, 24), (shade, 90, 90)).save(root / name)
        redder = "AB"[shades[1] > shades[0]]
        texts = [
            f"<image>\n<image>\nWhich is redder? A. the first B. the second ({n})",
            redder,
            "Why?",
            f"By {shades}.",
        ]
        turns = [{"from": ("human", "gpt")[k % 2], "value": text} for k, text in enumerate(texts)]
        records.append({"id": "x", "image": names, "conversations": turns})
    (root / "understanding.json").write_text(json.dumps(records))
    return root


def paint(roots: dict[str, Path]) -> None:
    """Small pictures of noise where COCO, D3, Ego-Exo4D and MVTrack have theirs, in the annotated proportions."""
    rng = np.random.default_rng(0)
    files: dict[Path, tuple[int, int]] = {}
    if root := roots.get("coco"):
        content = json.loads((root / "annotations" / "instances_train2017.json").read_text())
        files |= {root / "train2017" / i["file_name"]: (i["width"], i["height"]) for i in content["images"]}
    if root := roots.get("d3"):
        content = pickle.loads((root / "d3_pkl" / "images.pkl").read_bytes())
        files |= {root / "d3_images" / i["file_name"]: (i["width"], i["height"]) for i in content.values()}
    if root := roots.get("egoexo4d"):
        content = json.loads((root / "annotations" / "relations_train.json").read_text())["annotations"]
        files |= {
            root / uid / camera / f"{frame}.jpg": (1408, 1408) if camera.startswith("aria") else (3840, 2160)
            for uid, take in content.items()
            for cameras in take["object_masks"].values()
            for camera, notes in cameras.items()
            for frame in notes["annotated_frames"]
        }
    if root := roots.get("mvtrack"):
        files |= {f: (640, 360) for f in root.glob("*/*/img/*.jpg") if f.stat().st_size == 0}
    for file, (width, height) in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        shape = round(48 * height / max(width, height)), round(48 * width / max(width, height)), 3
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(file)


def everything(root: Path, scale: int = 1, seed: int = 0) -> dict[str, Path]:
    """All five, small at scale 1; the roots by source."""
    roots = {name: root / name for name in ("coco", "d3", "egoexo4d", "mvtrack", "star")}
    coco(roots["coco"], 300 * scale, seed, categories=12)
    d3(roots["d3"], 6, 20 * scale, seed)
    egoexo(roots["egoexo4d"], 2 * scale, 6, seed=seed)
    mvtrack(roots["mvtrack"], 3, 40 * scale, seed=seed)
    star(roots["star"], 20 * scale, seed=seed)
    return roots
