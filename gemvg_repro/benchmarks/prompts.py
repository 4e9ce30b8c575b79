"""Which prompt does a benchmark use? Its authors' template, in asking.yaml with its source, or one of the user's own.

A file asking.yaml in the folder of a benchmark's files overrides the entries that it has. So other prompts can be
tried, and the miniature's exports have prompts in the words of its tokenizer.
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
class PromptTemplates:
    """Templates by name and mode: {text, source}. `files`: where they were read, the overriding file last."""

    templates: Mapping[str, Mapping[Mode, Mapping[str, str]]]
    files: tuple[Path, ...]

    def fill(self, template: str, mode: Mode, **values: str) -> str:
        """The text of the user's turn, with its {fields} filled in; a value is not searched for fields.

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
def authors_templates() -> PromptTemplates:
    """The templates of the benchmarks' authors."""
    return _read(Path(__file__).with_name(FILE))


def templates_at(root: Path) -> PromptTemplates:
    """The templates for the benchmark at `root`, a folder or a file in it: its own asking.yaml before the authors'.

    Raises Refused with the entry of every fault in that file.
    """
    file = (root if root.is_dir() else root.parent) / FILE
    if not file.is_file():
        return authors_templates()
    own = _read(file)
    return PromptTemplates({**authors_templates().templates, **own.templates}, (*authors_templates().files, file))


def _read(file: Path) -> PromptTemplates:
    try:
        content: Any = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise Refused(f"{file} cannot be read: {error!s:.200}; expected name: mode: {{text, source}}") from error
    faults = Faults(file)
    if expect(content, "the whole", {}, faults):
        for name, entry in content.items():
            modes = expect(entry, f"{name}", dict.fromkeys(MODES, dict), faults)
            for mode in MODES if modes else ():
                template = expect(modes and modes[mode], f"{name}.{mode}", {"text": str, "source": str}, faults)
                if template:
                    unmarked(template["text"], f"{name}.{mode}.text", faults)
    faults.refuse()
    return PromptTemplates(content, (file,))
