"""How is MG-Data-240K built from the official downloads? By one command, which can be repeated.

    python -m gemvg_repro.corpora.mg_data data/mg --root coco=/data/coco --root d3=/data/d3

Sources are read into FOLDER/indexes, once: delete an index to read its source again. Frames that occur in
the benchmarks are excluded, every cell of the recipe is composed and verified, and FOLDER/shards gets the parquet files
and their manifest.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..files.validation import Refused
from . import builder, leakage, recipe
from .builder import foremost_reason
from .composition.wording import wording
from .index import Index
from .sources import SOURCES, annotation_files, index_source
from .workers import Progress

SHARDS, INDEXES = "shards", "indexes"
"""The folders of the training set and of the sources' indexes, below the output folder."""

Benchmarks = Mapping[str, tuple[Path, Path | None]]


def make(
    folder: Path, roots: Mapping[str, Path], mixture: recipe.CompositionRecipe, benchmarks: Benchmarks, *,
    workers: int = 1, embed: bool = False, most_pixels: int | None = None, progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Builds FOLDER/shards from the sources in `roots`, and returns the manifest. Raises Refused.

    `benchmarks` has, by name, an annotation file and the folder of its images, or None for names only.
    """
    _check(folder, roots, mixture, benchmarks)
    compared = leakage.read_benchmarks(benchmarks, workers)
    (folder / INDEXES).mkdir(parents=True, exist_ok=True)
    files = {name: folder / INDEXES / f"{name}.sqlite" for name in roots}
    for name, root in roots.items():
        index = _index(name, root, files[name], mixture.wording, progress)
        if compared:
            hashing = partial(progress, f"pictures of {name}") if progress else None
            leakage.remove(index, SOURCES[name].pictures(root), compared, workers, hashing)
    pictures = {name: SOURCES[name].pictures(root) for name, root in roots.items()}
    return builder.build(
        mixture, files, folder / SHARDS,
        workers=workers, pictures=pictures, embed=embed, most_pixels=most_pixels, progress=progress,
    )  # fmt: skip


def _check(folder: Path, roots: Mapping[str, Path], mixture: recipe.CompositionRecipe, benchmarks: Benchmarks) -> None:
    """Raises Refused for sources that the recipe has not, for missing files, and for a training set that exists."""
    recipe_sources: set[str] = {cell.source for cell in mixture.cells}
    if unknown := sorted(set(roots) - recipe_sources):
        raise Refused(
            f"no cell of the recipe is from {', '.join(unknown)}; its sources are {', '.join(sorted(recipe_sources))}"
        )
    if not roots:
        raise Refused(f"no source is given; expected the root of one of {', '.join(sorted(recipe_sources))}")
    for name, root in roots.items():
        if not annotation_files(name, root):
            expected = " or ".join(SOURCES[name].annotations)
            raise Refused(f"{name}: {root} has no {expected}; expected the root of its official files")
    for name, (file, images) in benchmarks.items():
        if not file.is_file() or (images is not None and not images.is_dir()):
            raise Refused(
                f"{name}: {file} is no file, or {images} no folder; expected an annotation file and its images"
            )
    if (folder / SHARDS).exists():
        raise Refused(f"{folder / SHARDS} exists; remove it to make the data anew, or give another folder")


def _index(name: str, root: Path, file: Path, words: Path, progress: Progress | None) -> Index:
    """The index of a source, read anew unless the file exists. Raises Refused if that is of another wording."""
    families = wording(words).get("attributes", {})
    if progress:
        progress(f"reading {name}", 0, 1)
    index = Index(file) if file.is_file() else index_source(name, root, file, families=families)
    if index.families() != families:
        raise Refused(f"{file} was made with other attributes than {words} has; delete it to make it anew")
    if progress:
        progress(f"reading {name}", 1, 1)
    return index


class ProgressBars:
    """A progress bar with the remaining time for each cell."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._what = ""

    def __call__(self, what: str, done: int, of: int) -> None:
        if what != self._what:
            self.close()
            self._bar, self._what = tqdm(total=of, desc=what, unit="", file=sys.stderr), what
        if self._bar is not None:
            self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def table(manifest: Mapping[str, Any]) -> str:
    """Each cell's quota, samples and foremost reason of a shortfall, the paper's counts, and records left out."""
    lines = [f"{'cell':24} {'quota':>8} {'made':>8} {'short':>8}"]
    for name, cell in manifest["cells"].items():
        lines.append(
            f"{name:24} {cell['quota']:8} {cell['made']:8} {cell['short']:8}  {foremost_reason(cell)}".rstrip()
        )
    for name, count in manifest["paper"].items():
        lines.append(f"{'paper: ' + name:24} {count['wanted']:8} {count['made']:8} {count['wanted'] - count['made']:8}")
    for name, source in manifest["sources"].items():
        lines += [f"{name}: {what}: {n}" for what, n in sorted(source["skipped"].items())]
    return "\n".join([*lines, f"{manifest['rows']} samples, content {manifest['content']}"])


def _pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    parted = [text.partition("=") for text in texts]
    if wrong := [
        text for text, (name, sign, value) in zip(texts, parted, strict=True) if not (name and sign and value)
    ]:
        raise Refused(f"{option} {wrong[0]!r}: expected NAME=PATH")
    return {name: value for name, _, value in parted}


def _benchmark(text: str) -> tuple[Path, Path | None]:
    file, _, images = text.partition(",")
    return Path(file), Path(images) if images else None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0, or 1 with what was refused."""
    parser = argparse.ArgumentParser(
        prog="python -m gemvg_repro.corpora.mg_data", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("folder", type=Path, help="where indexes/ and shards/ come to lie")
    parser.add_argument(
        "--root", action="append", default=[], metavar="SOURCE=FOLDER",
        help=f"the root of a source's official files, once for each that you have: {', '.join(SOURCES)}",
    )  # fmt: skip
    parser.add_argument(
        "--exclude", action="append", default=[], metavar="BENCHMARK=FILE[,IMAGES]",
        help="take out what occurs in it: by names in its annotation file, by pictures in the folder IMAGES",
    )  # fmt: skip
    parser.add_argument("--recipe", type=Path, default=recipe.FILE, help="another recipe than the paper's")
    parser.add_argument("--share", type=float, default=1.0, help="of every count, such as 0.01 to try it out")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes; the result is the same")
    parser.add_argument("--embed", action="store_true", help="store the pictures in the shards; mind their licences")
    parser.add_argument("--most-pixels", type=int, default=None, help="scale embedded pictures down to so many")
    options = parser.parse_args(arguments)
    bars = ProgressBars()
    try:
        roots = {name: Path(root) for name, root in _pairs(options.root, "--root").items()}
        benchmarks = {name: _benchmark(text) for name, text in _pairs(options.exclude, "--exclude").items()}
        mixture = recipe.load(options.recipe)
        mixture = mixture if options.share == 1 else mixture.scaled(options.share)
        manifest = make(
            options.folder, roots, mixture, benchmarks,
            workers=options.workers, embed=options.embed, most_pixels=options.most_pixels, progress=bars,
        )  # fmt: skip
    except Refused as refused:
        bars.close()
        sys.stderr.write(f"{refused}\n")
        return 1
    bars.close()
    sys.stdout.write(table(manifest) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
