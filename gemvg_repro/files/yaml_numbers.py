"""Does a YAML file say the numbers that its reader sees? YAML 1.1 reads 24:00:00 in base 60, and 010 in base 8."""

from __future__ import annotations

import re
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which refuses integers that are not read as a person means them."""

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """An integer in base 10, or in base 2 or 16 where its prefix says so."""
        if ":" in node.value or re.match(r"[-+]?0[0-9_]", node.value):
            base = 60 if ":" in node.value else 8
            message = (
                f"{node.value} is {super().construct_yaml_int(node)} in YAML, in base {base}; expected a number in base"
                " 10, without colons or leading zeros (times are in the unit that the key names)"
            )
            raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)
        number: int = super().construct_yaml_int(node)
        return number


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def load(text: str) -> Any:
    """The content of a YAML text, without any Python objects in it.

    Raises:
        yaml.YAMLError: it is no YAML, or has an integer in base 60 or 8; with its place.
    """
    return yaml.load(text, _Loader)
