"""The rows of a published table (parquet or JSON), with their images.

Tables are parquet files, as in a hub's datasets, one or a folder of them; or a JSON list of the same records. An
image is stored in the row (parquet: {bytes, path}) or is a path below the table's root. Of a parquet file the
images are read only when their pixels are needed, a row group at a time: the published files have gigabytes.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files.pictures import FilePicture, opened, scaled
from ..files.records import inner_path
from ..files.validation import Faults, Refused, read_json
from ..grounding.samples import Picture


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """An image in a parquet file: row group, row in it, column, and position in a list or None.

    Raises Refused, with file, row and column, if it is no image that may be opened (see FilePicture).
    """

    file: Path
    group: int
    row: int
    column: str
    position: int | None
    most_pixels: int | None = None

    def pixels(self) -> NDArray[np.uint8]:
        """RGB, of shape (height, width, 3)."""
        try:
            with opened(io.BytesIO(self._bytes())) as image:
                return scaled(image, self.most_pixels)
        except Exception as error:  # decoders raise all sorts on a broken file
            reason = str(error) if isinstance(error, Refused) else f"cannot be read: {error!r:.160}"
            where = f"row {self.row} of row group {self.group}, {self.column}"
            raise Refused(f"{self.file}: {where}: {reason}") from error

    def digest(self) -> str:
        """SHA-256 of the stored bytes, in hex."""
        return hashlib.sha256(self._bytes()).hexdigest()

    def _bytes(self) -> bytes:
        value = _column(self.file, self.group, self.column)[self.row].as_py()
        content: bytes = (value if self.position is None else value[self.position])["bytes"]
        return content


def digests(pictures: Iterable[StoredPicture]) -> dict[StoredPicture, str]:
    """The digest of each; a row group's column is read once."""
    in_order = sorted(set(pictures), key=lambda p: (p.file, p.group, p.column, p.row, p.position or 0))
    return {picture: picture.digest() for picture in in_order}


@lru_cache(maxsize=1)
def _column(file: Path, group: int, column: str) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetFile(file).read_row_group(group, columns=[column])[column]


@dataclass(frozen=True, slots=True)
class Row:
    """A record: its file and place there, its fields but for the images, and its images in order."""

    file: Path
    where: str
    fields: dict[str, Any]
    pictures: tuple[Picture, ...]


def read_table(
    file: Path, images: Sequence[str], root: Path | None, most_pixels: int | None, split: str = ""
) -> list[Row]:
    """The rows of a parquet or JSON file, or of all such files below a folder, sorted by path.

    Args:
        images: the columns that hold images, in order: of one image or None, or of a list of them.
        root: the folder of the images that are paths; by default that of the file.
        split: of a folder, only the files whose name begins so.

    Raises Refused with the row and key of every fault.
    """
    files = [file]
    if file.is_dir():
        files = sorted(path for path in file.rglob(f"{split}*") if path.suffix in (".parquet", ".json"))
        if not files:
            raise Refused(f"{file} has no file {split}*.parquet; expected the data set as it is published")
    rows: list[Row] = []
    for each in files:
        reader = _parquet if _is_parquet(each) else _json
        rows += reader(each, images, root or each.parent, most_pixels)
    return rows


def _is_parquet(file: Path) -> bool:
    try:
        with file.open("rb") as content:
            return content.read(4) == b"PAR1"
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror}; expected a parquet or JSON file") from error


def _json(file: Path, images: Sequence[str], root: Path, most_pixels: int | None) -> list[Row]:
    document = read_json(file)
    if not isinstance(document, list) or not document:
        raise Refused(f"{file}: expected a list of records, or a parquet file")
    faults = Faults(file)
    rows = []
    for n, record in enumerate(document):
        if not isinstance(record, dict):
            faults.add(f"[{n}]", f"expected an object, got {type(record).__name__}")
            continue
        pictures = _named(record, f"[{n}]", images, root, most_pixels, faults)
        rows.append(Row(file, f"[{n}]", {k: v for k, v in record.items() if k not in images}, pictures))
    faults.refuse()
    return rows


def _named(
    record: dict[str, Any], where: str, images: Sequence[str], root: Path, most_pixels: int | None, faults: Faults
) -> tuple[Picture, ...]:
    """The images that a record names by path."""
    pictures: list[Picture] = []
    for column in images:
        value = record.get(column)
        paths = value if isinstance(value, list) else [] if value is None else [value]
        for path in paths:
            if (inner := inner_path(path, f"{where}.{column}", faults)) is not None:
                pictures.append(FilePicture(root, inner, most_pixels))
    return tuple(pictures)


def _parquet(file: Path, images: Sequence[str], root: Path, most_pixels: int | None) -> list[Row]:
    import pyarrow.parquet as pq

    rows: list[Row] = []
    faults = Faults(file)
    try:
        table = pq.ParquetFile(file)
        light = _without_bytes([table.schema.column(n).path for n in range(len(table.schema))], images)
        for group in range(table.num_row_groups):
            for n, record in enumerate(table.read_row_group(group, columns=light).to_pylist()):
                where = f"[{len(rows)}]"
                pictures = tuple(
                    _stored(place, column, value, file, group, n, root, most_pixels, f"{where}.{column}", faults)
                    for column in images
                    for place, value in _places(record.get(column))
                )
                fields = {k: v for k, v in record.items() if k not in images}
                rows.append(Row(file, where, fields, tuple(p for p in pictures if p is not None)))
    except Exception as error:  # pyarrow raises all sorts on a broken file
        raise Refused(
            f"{file} is no parquet file that can be read: {error!r:.200}; is the download complete?"
        ) from error
    faults.refuse()
    if not rows:
        raise Refused(f"{file} has no rows")
    return rows


def _without_bytes(paths: Sequence[str], images: Collection[str]) -> list[str]:
    """The leaves of a schema to read at once: all but the images' bytes."""
    return [path for path in paths if not (path.split(".")[0] in images and path.endswith(".bytes"))]


def _places(value: Any) -> list[tuple[int | None, Any]]:
    if isinstance(value, list):
        return list(enumerate(value))
    return [] if value is None else [(None, value)]


def _stored(
    position: int | None,
    column: str,
    value: Any,
    file: Path,
    group: int,
    row: int,
    root: Path,
    most_pixels: int | None,
    where: str,
    faults: Faults,
) -> Picture | None:
    """An image in the row; a text is the path of one."""
    if isinstance(value, dict):
        return StoredPicture(file, group, row, column, position, most_pixels)
    inner = inner_path(value, where, faults)
    return None if inner is None else FilePicture(root, inner, most_pixels)
