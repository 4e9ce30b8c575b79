"""Opening the image files of a COCO-format file: each is decoded once, and compared with what its record states.

- A file under several ids (merged exports, several annotators, one path spelt in several ways, links) is one image
  with the objects of all its records; otherwise the objects of one record would be taught as absent by another.
- EXIF orientation: boxes are in the image whose width and height the records state. Where that is the turned one of any
  image, every image of the file is turned; where no size tells, none is, as in COCO.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ...files.coco import Id, ImageRecord
from ...files.grey import is_deep
from ...files.image_folder import ImageFolder
from ...files.pictures import FilePicture, Header, fitted, sliver
from ...files.validation import Faults, Refused

_CHECKED_PIXELS = 1024  # enough to decode a file to its end
_MAX_LISTED = 10  # images of a note


@dataclass(frozen=True, slots=True)
class _Opened:
    """An image file with its record, and where that stands."""

    where: str
    record: ImageRecord
    header: Header
    path: str

    @property
    def stated(self) -> tuple[int, int]:
        return self.record.width, self.record.height

    @property
    def stored(self) -> tuple[int, int]:
        return self.header.width, self.header.height

    @property
    def turned(self) -> bool | None:
        """Whether width and height are those of the turned image; None where they do not tell."""
        if self.header.orientation <= 4 or self.header.width == self.header.height:
            return None
        return {self.stored: False, self.stored[::-1]: True}.get(self.stated)


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """The picture of every image by id; ids of a file that an earlier record has, each with that record's id."""

    pictures: Mapping[Id, FilePicture]
    joined: Mapping[Id, Id]
    notes: tuple[str, ...]


def open_images(
    records: Sequence[tuple[str, ImageRecord]], folder: ImageFolder, most_pixels: int | None, faults: Faults
) -> ImageFiles:
    """The image files of all records, each with where it stands, such as "images[3]"; every fault is added."""
    opened = [each for where, record in records if (each := _open(where, record, folder, faults))]
    turned = _frame(opened, faults)
    for each in opened:
        _compare(each, turned, most_pixels, faults)
    joined = _joined(opened)
    pictures = {e.record.id: FilePicture(folder.path, e.path, most_pixels, turned) for e in opened}
    return ImageFiles(pictures, joined, tuple(_notes(opened, turned, joined)))


def _open(where: str, record: ImageRecord, folder: ImageFolder, faults: Faults) -> _Opened | None:
    path = folder.paths[record.file_name]
    picture = FilePicture(folder.path, path, _CHECKED_PIXELS)
    try:
        header = picture.decoded_header()
    except Refused as error:
        faults.add(f"{where}.file_name", str(error))
        if not (folder.path / path).is_file():
            faults.hint(folder.message)
        return None
    return _Opened(where, record, header, path)


def _frame(opened: Sequence[_Opened], faults: Faults) -> bool:
    """Whether boxes are in the images as EXIF turns them."""
    stated = {turned: [e for e in opened if e.turned is turned] for turned in (True, False)}
    for each in stated[True] if stated[False] else ():
        faults.add(
            f"{each.where}.width",
            f"{each.path!r} has EXIF orientation {each.header.orientation}; width and height are those of the turned "
            f"image, but in {stated[False][0].where} those of the stored one; expected one way in the whole file",
        )
    return bool(stated[True])


def _compare(image: _Opened, turned: bool, most_pixels: int | None, faults: Faults) -> None:
    width, height = image.stored
    size = (height, width) if turned and image.header.orientation > 4 else (width, height)
    if size != image.stated:
        exif = f" and EXIF orientation {image.header.orientation}" if image.header.orientation > 1 else ""
        message = f"{image.path!r} has {image.stored} stored pixels{exif}, but width and height are {image.stated}"
        faults.add(f"{image.where}.file_name", message)
    elif slender := sliver(*fitted(*size, most_pixels)):
        faults.add(f"{image.where}.file_name", f"{image.path!r} {slender}")


def _joined(opened: Sequence[_Opened]) -> dict[Id, Id]:
    """Ids of files that an earlier record has, links followed, whatever their paths."""
    first: dict[tuple[int, int], Id] = {}
    joined: dict[Id, Id] = {}
    for each in opened:
        earlier = first.setdefault(each.header.file, each.record.id)
        if earlier != each.record.id:
            joined[each.record.id] = earlier
    return joined


def _notes(opened: Sequence[_Opened], turned: bool, joined: Mapping[Id, Id]) -> Iterator[str]:
    by_id = {each.record.id: each for each in opened}
    if joined:
        pairs = [f"{by_id[key].where} with {by_id[first].where} ({by_id[first].path})" for key, first in joined.items()]
        yield f"{len(joined):,} images are files that an earlier one has, and are joined with it: {_listed(pairs)}"
    if exif := [f"{e.where} ({e.path}: {e.header.orientation})" for e in opened if e.header.orientation > 1]:
        frame = "as turned, like width and height" if turned else "as stored, not turned"
        yield f"{len(exif):,} images have an EXIF orientation; boxes are taken to be in them {frame}: {_listed(exif)}"
    if deep := [f"{e.where} ({e.path})" for e in opened if is_deep(e.header.mode)]:
        yield f"{len(deep):,} images are grey of more than 8 bits, scaled by their brightest pixel: {_listed(deep)}"


def _listed(items: Sequence[str]) -> str:
    more = f", and {len(items) - _MAX_LISTED:,} more" if len(items) > _MAX_LISTED else ""
    return ", ".join(items[:_MAX_LISTED]) + more
