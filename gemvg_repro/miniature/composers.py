"""The composer of each kind of question about the world."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from .questions import WorldQuestion, referential, semantic, spatial, temporal
from .reasoning import reasoning
from .understanding import understanding

COMPOSERS: Mapping[str, Callable[[Random, int], WorldQuestion]] = {
    "referential": referential,
    "semantic": semantic,
    "spatial": spatial,
    "temporal": temporal,
    "reasoning": reasoning,
    "understanding": understanding,
}
"""By kind; each takes the random generator and the number of pictures, two or three."""
