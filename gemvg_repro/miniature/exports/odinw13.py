"""How is the miniature world written in ODINW-13's format? Single images in thirteen domains."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

from ...benchmarks.suites.odinw13_file import DATASETS
from ...files.pictures import store
from ..patterns import Pattern
from ..rendering import GROUNDS, SIDE
from ..world import CATEGORIES, COLOURS, LARGEST, Appearance, Frame, Thing, frame, place


@dataclass(frozen=True)
class Domain:
    """What pictures of a domain have in common.

    names: what its classes are told by. looks: how many different ones occur; few is a domain of few classes.
    things: the least and the most in a picture. largest: the longest side of a thing, in pixels of SIDE.
    block: the grain of its grounds, 0 to 2 (4, 8 or 16 pixels). striped: whether they have stripes.
    """

    names: Literal["category", "colour", "both"]
    looks: int
    things: tuple[int, int]
    largest: int
    block: int
    striped: bool


DOMAINS = {
    "AerialMaritimeDrone": Domain("both", 5, (3, 4), 14, 0, False),
    "Aquarium": Domain("both", 7, (3, 4), 26, 1, True),
    "CottontailRabbits": Domain("both", 1, (1, 1), 34, 0, True),
    "EgoHands": Domain("category", 1, (2, 4), LARGEST, 2, False),
    "NorthAmericaMushrooms": Domain("both", 2, (1, 3), 30, 1, False),
    "Packages": Domain("colour", 1, (1, 2), 24, 2, True),
    "PascalVOC": Domain("both", 16, (1, 4), LARGEST, 1, False),
    "pistols": Domain("category", 1, (1, 1), LARGEST, 2, True),
    "pothole": Domain("colour", 1, (2, 4), 18, 0, False),
    "Raccoon": Domain("both", 1, (1, 2), LARGEST, 1, True),
    "ShellfishOpenImages": Domain("category", 3, (1, 4), 30, 2, False),
    "thermalDogsAndPeople": Domain("category", 2, (1, 3), 22, 0, True),
    "VehiclesOpenImages": Domain("colour", 4, (2, 4), 30, 2, True),
}
"""Under the names of the thirteen, whose folders, sizes and numbers of classes they follow; what is in them is ours."""


def write(folder: Path, seed: int, each: int) -> Path:
    """Writes the thirteen folders, with `each` pictures in every one, below `folder`; returns it."""
    for name, domain in DOMAINS.items():
        file = folder / DATASETS[name]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(_document(domain, Random(f"odinw13/{seed}/{name}"), each, file.parent)) + "\n")
    return folder


def _document(domain: Domain, rng: Random, each: int, folder: Path) -> dict[str, Any]:
    looks = _looks(domain, rng)
    names = sorted({_name(domain, look) for look in looks})
    frames = [_frame(domain, rng, looks) for _ in range(each)]
    images = [
        {"id": n, "file_name": store(one, folder), "width": SIDE, "height": SIDE} for n, one in enumerate(frames, 1)
    ]
    things = [(n, thing) for n, one in enumerate(frames, 1) for thing in one.things]
    annotations = [
        _annotation(n, image, thing, names.index(_name(domain, thing.look)) + 1)
        for n, (image, thing) in enumerate(things, 1)
    ]
    categories = [{"id": n, "name": name, "supercategory": "things"} for n, name in enumerate(names, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _looks(domain: Domain, rng: Random) -> list[Appearance]:
    """The looks that occur: of different categories or colours where the classes are told by these."""
    every = [(category, colour) for category in range(len(CATEGORIES)) for colour in range(len(COLOURS))]
    if domain.names == "both":
        return rng.sample(every, domain.looks)
    kept = rng.sample(range(4), domain.looks)
    return [look for look in every if look[domain.names == "colour"] in kept]


def _frame(domain: Domain, rng: Random, looks: list[Appearance]) -> Frame:
    drawn = [rng.choice(looks) for _ in range(rng.randint(*domain.things))]
    grounds = [n for n in range(GROUNDS) if n % 3 == domain.block and bool(n & 4) == domain.striped]
    return frame(rng, place(rng, drawn, domain.largest), rng.choice(grounds))


def _name(domain: Domain, look: Appearance) -> str:
    """A class as the world calls it: "disc", "red object" or "red disc"."""
    category, colour = look
    return str(Pattern(category if domain.names != "colour" else None, colour if domain.names != "category" else None))


def _annotation(number: int, image: int, thing: Thing, category: int) -> dict[str, Any]:
    box = [thing.x, thing.y, thing.w, thing.h]
    area = thing.w * thing.h
    return {"id": number, "image_id": image, "category_id": category, "bbox": box, "area": area, "iscrowd": 0}
