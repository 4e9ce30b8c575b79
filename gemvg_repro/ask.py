"""What does a model answer to a query about pictures of one's own?

    python -m gemvg_repro.ask CHECKPOINT PICTURE [PICTURE ...] "QUERY"

Prints the answer with a direct and with a CoT prompt, each box in pixels of its picture, and draws them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from .files.atomic import writing
from .files.pictures import FilePicture, sliver
from .files.validation import Faults, Refused, printable, read_json
from .grounding.parsing import ParsedAnswer, parse_answer
from .grounding.samples import MODES, Mode, Sample
from .runs import gallery
from .runs.layout import PARAMETERS
from .study.hub import checkpoint_folder
from .study.profiles import Profile, load_profile

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HELP = """\
CHECKPOINT is a run directory (runs/hybrid-s0-...), a folder of weights, or a model's name on the Hugging Face hub,
such as Qwen/Qwen2-VL-7B-Instruct. A picture is a JPEG, PNG, WEBP, BMP, GIF, TIFF or PPM file, shown upright as its
EXIF data says; the answer calls the first "Picture 1".

    python -m gemvg_repro.ask runs/hybrid-s0-* garden.jpg park.jpg "Find every dog."

The miniature knows only its own small drawn world, and answers photographs at random. Pictures of that world lie in
runs/data-*/official, such as coco/train2017.
"""


@dataclass(frozen=True)
class Answer:
    """A model's answer to a query in one mode: the sample that was asked, its text, and the text as parsed."""

    sample: Sample
    mode: Mode
    text: str
    parsed: ParsedAnswer


def ask(
    checkpoint: str,
    pictures: Sequence[str | Path],
    query: str,
    modes: Sequence[Mode] = MODES,
    profile: str | None = None,
) -> list[Answer]:
    """The greedy answers to a query about picture files, one for each mode.

    Args:
        checkpoint: a run directory, a folder of weights, or a hub's name.
        pictures: the files, in the order in which the query numbers them.
        query: what to find.
        modes: of the prompts.
        profile: the scale whose dtype, bound on pixels and limits of answers are taken; None: those that a run was
            trained with, and the paper's for any other weights.

    Raises:
        Refused: the weights are not whole, or a picture cannot be read, or is too slender for Qwen2-VL.
    """
    sample = sample_of(pictures, query)
    from .models.generation import generate  # with torch: after the pictures were read
    from .models.loading import load
    from .stages.weights import weights_of

    folder = checkpoint_folder(checkpoint)
    scale = load_profile(profile or "paper")
    dtype, max_pixels = (scale.dtype, scale.max_pixels) if profile else _trained_with(folder, scale)
    model, processor = load(weights_of(folder), dtype, max_pixels)
    prompts = [(sample, mode) for mode in modes]
    predictions = next(
        generate(model, processor, prompts, batch=len(prompts), max_new_tokens=scale.evaluate.max_new_tokens)
    )
    texts = {each.mode: each.text for each in predictions}
    return [Answer(sample, mode, texts[mode], parse_answer(texts[mode], len(pictures))) for mode in modes]


def sample_of(pictures: Sequence[str | Path], query: str) -> Sample:
    """The query as a sample without a known answer. Raises Refused with the fault of every picture."""
    faults = Faults(Path.cwd())
    files = [Path(picture).expanduser().absolute() for picture in pictures]
    opened = tuple(FilePicture(file.parent, file.name, turned=True) for file in files)
    for file, picture in zip(files, opened, strict=True):
        try:
            if slender := sliver(*picture.size()):
                faults.add(str(file), slender)
            picture.pixels()
        except Refused as error:
            faults.add(str(file), str(error))
    faults.refuse()
    if not query.strip():
        raise Refused('the query is empty; expected what to find, such as "the dog on a leash"')
    return Sample(id="question", scene="question", kind="referential", source="user", pictures=opened, query=query)


def _trained_with(folder: Path, scale: Profile) -> tuple[str, int | None]:
    """The dtype and the bound on pixels of a run's own parameters; of weights that are no run's, the scale's."""
    run = next((each for each in (folder, folder.parent) if (each / PARAMETERS).is_file()), None)
    settings: dict[str, Any] = read_json(run / PARAMETERS)["settings"] if run else {}
    return settings.get("dtype", scale.dtype), settings.get("max_pixels", scale.max_pixels)


def drawing(answers: Sequence[Answer]) -> Figure:
    """A card for each answer: the query, the pictures with the boxes, and the text."""
    from .report.sections.predictions import draw

    with TemporaryDirectory() as folder:
        written = gallery.write(Path(folder), [(answer.sample, answer.mode, answer.text) for answer in answers])
        return draw(written.parent, gallery.read(written.parent))


def described(answer: Answer) -> str:
    """The answer in lines: its text, then each box in pixels of its upright picture."""
    lines = [f"{answer.mode}: {printable(answer.text)}"]
    for target in answer.parsed.targets:
        width, height = answer.sample.pictures[target.picture].size()  # type: ignore[attr-defined]
        x1, y1, x2, y2 = (round(v * side) for v, side in zip(target.box, (width, height) * 2, strict=True))
        lines.append(f"  Picture {target.picture + 1}: ({x1}, {y1}) to ({x2}, {y2}) of {width}x{height} pixels")
    if answer.parsed.none:
        lines.append("  it says that there is none")
    lines += [f"  not understood: {printable(problem)}" for problem in answer.parsed.problems]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit status is 2 where something is refused."""
    parser = argparse.ArgumentParser(
        prog="python -m gemvg_repro.ask", description=__doc__, epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("checkpoint", help="a run directory, a folder of weights, or a hub's name")
    parser.add_argument("pictures", nargs="+", help="image files; the first is Picture 1")
    parser.add_argument("query", help='what to find, in quotes: "the dog on a leash"')
    parser.add_argument("--mode", choices=MODES, help="only one of the two prompts")
    parser.add_argument("--profile", help="the scale: miniature | paper (default: the run's own, else paper)")
    parser.add_argument("--out", type=Path, default=Path("answer.png"), help="the drawing (default: %(default)s)")
    options = parser.parse_args(arguments)
    modes = (options.mode,) if options.mode else MODES
    try:
        answers = ask(options.checkpoint, options.pictures, options.query, modes, options.profile)
        with writing(options.out):
            drawing(answers).savefig(options.out, dpi=150)
    except (Refused, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(map(described, answers)))
    print(f"drawn in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
