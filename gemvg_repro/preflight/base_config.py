"""The config of a profile's base, where it is at hand: in its folder, in the hub's cache, or shipped here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..files.validation import Refused, read_json
from ..study.hub import cached, is_hub_name
from ..study.paths import absolute
from ..study.profiles import Profile

SHIPPED = Path(__file__).parent / "configs"
"""config.json of models of the hub, so that a preflight needs neither a network nor the weights."""


def base_folder(profile: Profile) -> Path | None:
    """The folder of the base's files; None where it is a name on the hub whose snapshot is not whole in the cache."""
    base = profile.base_folder()
    return cached(base) if is_hub_name(base) else absolute(base)


def base_config(profile: Profile) -> dict[str, Any]:
    """The content of config.json.

    Raises:
        Refused: there is none, neither in the base's folder nor shipped.
    """
    folder = base_folder(profile)
    file = folder / "config.json" if folder else SHIPPED / f"{profile.base.replace('/', '--')}.json"
    if not file.is_file():
        raise Refused(
            f"{profile.base!r} has no config.json here; `hf download {profile.base} config.json` fetches it where there"
            " is a network"
        )
    return dict(read_json(file))
