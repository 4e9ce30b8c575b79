"""How is a benchmark asked? In its authors' words, which are data, in asking.yaml, each with its source; or in others.

A file asking.yaml in the folder of a benchmark's files takes the place of those entries of ours that it has. So
somebody may try other words, and the miniature's exports are asked in the words that its tokenizer has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ..files.records import expect, unmarked
from ..files.validation import Faults, Refused
from ..grounding.samples import MODES, Mode

FILE = "asking.yaml"

_FIELD = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class Asking:
    """Templates by name and mode: their text, and where the words come from. `files`: where they were read."""

    templates: Mapping[str, Mapping[Mode, Mapping[str, str]]]
    files: tuple[Path, ...]

    def ask(self, template: str, mode: Mode, **values: str) -> str:
        """The text of the user's turn, with its {fields} filled in; what is filled in is not searched for fields.

        Raises Refused for a field without a value.
        """
        text = self.templates[template][mode]["text"]
        if unknown := set(_FIELD.findall(text)) - values.keys():
            raise Refused(
                f"{self.files[-1]}: {template}.{mode}.text: has {', '.join(sorted(unknown))} in braces; "
                f"the fields of this benchmark are {', '.join(sorted(values))}"
            )
        return _FIELD.sub(lambda field: values[field[1]], text)


@cache
def authors() -> Asking:
    """The words of the benchmarks' authors."""
    return _read(Path(__file__).with_name(FILE))


def asking_at(root: Path) -> Asking:
    """The words for the benchmark at `root`, a folder or a file in it: its own asking.yaml before the authors'.

    Raises Refused with the entry of every fault in that file.
    """
    file = (root if root.is_dir() else root.parent) / FILE
    if not file.is_file():
        return authors()
    own = _read(file)
    return Asking({**authors().templates, **own.templates}, (*authors().files, file))


def _read(file: Path) -> Asking:
    try:
        content: Any = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise Refused(f"{file} cannot be read: {error!s:.200}; expected name: mode: {{text, source}}") from error
    faults = Faults(file)
    if expect(content, "the whole", {}, faults):
        for name, entry in content.items():
            modes = expect(entry, f"{name}", dict.fromkeys(MODES, dict), faults)
            for mode in MODES if modes else ():
                words = expect(modes and modes[mode], f"{name}.{mode}", {"text": str, "source": str}, faults)
                if words:
                    unmarked(words["text"], f"{name}.{mode}.text", faults)
    faults.refuse()
    return Asking(content, (file,))
