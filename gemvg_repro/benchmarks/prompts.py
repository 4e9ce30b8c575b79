"""Which prompt does a benchmark use? Its authors' template, in asking.yaml with its source, or one of the user's own.

An entry may also say how long an answer may be (`max_new_tokens`, with its `limit_source`): the figure of the authors'
own script. Without one the profile's limit holds, raised where the longest true answer needs more.

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

MAX_NEW_TOKENS = 2**15
"""No benchmark allows longer answers: it is Qwen2-VL's whole context."""

_FIELD = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class PromptTemplates:
    """Templates by name and mode: {text, source}, and perhaps {max_new_tokens, limit_source}.

    `files`: where they were read, the overriding file last.
    """

    templates: Mapping[str, Mapping[Mode, Mapping[str, Any]]]
    files: tuple[Path, ...]

    def fill(self, template: str, mode: Mode, **values: str) -> str:
        """The text of the user's turn, with its {fields} filled in; a value is not searched for fields.

        Raises Refused for a field without a value.
        """
        text: str = self.templates[template][mode]["text"]
        if unknown := set(_FIELD.findall(text)) - values.keys():
            raise Refused(
                f"{self.files[-1]}: {template}.{mode}.text: has {', '.join(sorted(unknown))} in braces; "
                f"the fields of this benchmark are {', '.join(sorted(values))}"
            )
        return _FIELD.sub(lambda field: values[field[1]], text)

    def max_new_tokens(self, template: str, mode: Mode) -> int | None:
        """The most tokens of an answer, in the script that the template is from; None where it has no figure."""
        limit: int | None = self.templates[template][mode].get("max_new_tokens")
        return limit


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
                    _check_limit(template, f"{name}.{mode}", faults)
    faults.refuse()
    return PromptTemplates(content, (file,))


def _check_limit(template: Mapping[str, Any], where: str, faults: Faults) -> None:
    if "max_new_tokens" not in template:
        return
    limit = template["max_new_tokens"]
    if type(limit) is not int or not 1 <= limit <= MAX_NEW_TOKENS:
        faults.add(f"{where}.max_new_tokens", f"expected an integer from 1 to {MAX_NEW_TOKENS}, got {limit!r:.80}")
    expect(template, where, {"limit_source": str}, faults)
