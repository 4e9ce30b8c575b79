"""Finished runs without their weights in one file: the report needs no more. What it keeps of a run: KEPT.

    python -m gemvg_repro.runs.bundle write runs long.tar.xz --only '*-s0-*' --only '*-s1-*'
    python -m gemvg_repro.runs.bundle read long.tar.xz runs

Reading trusts nothing: files of other names, links, paths, sizes above the limits and runs whose id is not that of
their parameters are refused before any run is there.
"""

from __future__ import annotations

import argparse
import io
import lzma
import os
import re
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from ..files.atomic import writing
from ..files.validation import Refused, printable
from .directory import result_of, verified_result
from .json_files import RunError
from .layout import ENVIRONMENT, GALLERY, LOG, OFFICIAL, PARAMETERS, RESULT, SCORES, VALIDATION_REWARD

KEPT = re.compile(
    "|".join(map(re.escape, (RESULT, PARAMETERS, ENVIRONMENT, LOG, VALIDATION_REWARD)))
    + "".join(rf"|{re.escape(kind.name('@')).replace('@', '[a-z0-9][a-z0-9_+.-]*')}" for kind in (SCORES, OFFICIAL))
    + rf"|{GALLERY}/[a-z0-9][a-z0-9_-]*\.(?:png|jpeg|json)"
)
"""Files of a run directory, by their path in it."""

_RUN = re.compile(r"[a-z0-9][a-z0-9_.-]*-[0-9a-f]{10}")

MOST_FILES, MOST_BYTES, MOST_BYTES_OF_A_FILE = 20_000, 2**29, 2**25
"""Limits of what is read; five seeds of the miniature stay below a tenth of each."""

_MOST_MEMORY = 2**27  # of the decompressor


def write(runs: Path, bundle: Path, patterns: Sequence[str] = ("*",)) -> list[str]:
    """Writes the finished runs whose directories match one of the shell patterns; returns their names.

    The same runs give the same bytes. What is alike in several runs lies side by side, and costs little.

    Raises:
        Refused: no finished run matches.
        RunError: a run is damaged.
    """
    matching = [
        run for run in sorted(runs.iterdir() if runs.is_dir() else ())
        if _RUN.fullmatch(run.name) and any(fnmatchcase(run.name, pattern) for pattern in patterns)
        and verified_result(run) is not None
    ]  # fmt: skip
    if not matching:
        raise Refused(f"{runs} has no finished run that matches {' or '.join(patterns)}; names are such as hybrid-s0-*")
    files = [(str(file.relative_to(run)), run) for run in matching for file in run.rglob("*")]
    kept = [(name, run) for name, run in files if KEPT.fullmatch(name) and _is_file(run / name)]
    partial = bundle.with_name(f".{bundle.name}.part")
    with writing(bundle), tarfile.open(partial, "w:xz", format=tarfile.PAX_FORMAT) as tar:
        for name, run in sorted(kept):
            entry = tarfile.TarInfo(f"{run.name}/{name}")
            content = (run / name).read_bytes()
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    partial.replace(bundle)
    return [run.name for run in matching]


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def read(bundle: Path, runs: Path) -> list[str]:
    """Puts the runs of a bundle into a folder of runs, all or none; returns the names of those that were not there.

    Raises:
        Refused: it is no whole bundle, holds what a bundle does not, or is larger than the limits; or a run that is
            here and not finished has the same id.
        RunError: a run is damaged, or another one than its name says.
    """
    runs.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".bundle-", dir=runs) as temporary:
        folder = Path(temporary)
        with writing(runs):
            _unpack(bundle, folder)
        names = sorted(run.name for run in folder.iterdir())
        for name in names:
            _verify(folder / name, bundle)
        new = [name for name in names if result_of(runs / name) is None]
        if begun := [name for name in new if (runs / name).exists()]:
            raise Refused(f"{runs / begun[0]} was begun here and is not finished: remove it, or give another folder")
        for name in new:
            os.replace(folder / name, runs / name)
    return new


def _unpack(bundle: Path, folder: Path) -> None:
    """Writes the files of a bundle into an empty folder."""
    seen: set[str] = set()
    with _members(bundle) as (tar, members):
        for member in members:
            run, _, name = member.name.partition("/")
            place = f"{bundle}: {printable(member.name, 120)!r}"
            if not (member.isreg() and _RUN.fullmatch(run) and KEPT.fullmatch(name)):
                raise Refused(f"{place} is no file that a bundle holds of a run")
            if member.size > MOST_BYTES_OF_A_FILE or len(seen) >= MOST_FILES or member.name in seen:
                raise Refused(
                    f"{place} has {member.size:,} bytes, after {len(seen):,} files; expected at most "
                    f"{MOST_BYTES_OF_A_FILE:,} bytes and {MOST_FILES:,} files, each once"
                )
            seen.add(member.name)
            content = tar.extractfile(member)
            assert content is not None  # a regular file has one
            target = folder / run / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.read())


@contextmanager
def _members(bundle: Path) -> Iterator[tuple[tarfile.TarFile, Iterator[tarfile.TarInfo]]]:
    try:
        with bundle.open("rb") as file:
            stream: Any = io.BufferedReader(_Decompressed(file))
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                yield tar, iter(tar)
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise Refused(f"{bundle} is no bundle, or not a whole one: {error}; is the download complete?") from error


class _Decompressed(io.RawIOBase):
    """The content of an xz file as a stream that ends with an error where it is longer than MOST_BYTES."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._xz = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MOST_MEMORY)
        self._left = MOST_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = b""
        while not content and not self._xz.eof:
            compressed = self._file.read(2**16) if self._xz.needs_input else b""
            if self._xz.needs_input and not compressed:
                raise EOFError("it is cut off")
            content = self._xz.decompress(compressed, len(buffer))
        self._left -= len(content)
        if self._left < 0:
            raise Refused(f"the content of {self._file.name} is larger than {MOST_BYTES:,} bytes, as no bundle is")
        buffer[: len(content)] = content
        return len(content)


def _verify(run: Path, bundle: Path) -> None:
    """Raises unless it is a finished run, whose result names no files but its own."""
    result = verified_result(run)
    if result is None:
        raise Refused(f"{bundle}: {run.name} is not finished: it has no {RESULT}")
    for task in result.get("tasks", ()):
        for name in (task.get("scores"), task.get("official")):
            if name and not (isinstance(name, str) and KEPT.fullmatch(name) and (run / name).is_file()):
                raise Refused(f"{bundle}: {run.name} has no file {printable(str(name), 120)!r}, which its result names")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0, or 2 with what was refused."""
    parser = argparse.ArgumentParser(
        prog="python -m gemvg_repro.runs.bundle",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    writer = commands.add_parser("write", help="of a folder of runs")
    writer.add_argument("runs", type=Path)
    writer.add_argument("bundle", type=Path)
    writer.add_argument("--only", action="append", metavar="PATTERN", help="by directory, with * and ?; repeatable")
    reader = commands.add_parser("read", help="into a folder of runs")
    reader.add_argument("bundle", type=Path)
    reader.add_argument("runs", type=Path)
    options = parser.parse_args(arguments)
    try:
        if options.command == "write":
            names = write(options.runs, options.bundle, options.only or ["*"])
            print(f"{options.bundle}: {len(names)} runs, {options.bundle.stat().st_size:,} bytes")  # noqa: T201
        else:
            names = read(options.bundle, options.runs)
            print(f"{options.runs}: {len(names)} runs that were not there")  # noqa: T201
    except (Refused, RunError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
