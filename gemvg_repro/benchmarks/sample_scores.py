"""What does each sample add to a benchmark's score?

One row a sample, or of COCO's average precision one an image and category, from which `averages` makes the official
number again, over any resample of the samples: hence its interval, and paired differences of models on one file.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..grounding.samples import Picture
from .coco_ap import CategoryMatches
from .published_rows import StoredPicture, digests

if TYPE_CHECKING:
    import pandas as pd

Average = Literal["micro", "macro", "map", "ap50", "weighted_ap50"]
"""How a metric averages its rows.

micro: the mean. macro: the mean over the groups of the means within them. map, ap50: the mean over the groups
(datasets) of COCO's mAP@[.5:.95] or AP50, each over its categories that have a true box. weighted_ap50: MC-Bench's
AP50, its categories weighted by their true boxes.
"""

AVERAGES: tuple[Average, ...] = get_args(Average)


@dataclass(frozen=True, slots=True)
class SampleScore:
    """A sample's part in the metrics that are averages over the rows `of`; see `interface.Metric`.

    Attributes:
        sample: the id of the sample, or what stands for an image.
        scene: what dependent samples share: those with a picture in common, also through others, are one scene.
        group: the task, text style, dataset or split that tables of the benchmark show.
        of: which rows a metric is an average of: a name of a score, such as "IOU@0.5", or of detections.
        value: the score, in [0, 1]; nan in rows of detections.
        category, true, confidences, matched, ignored: of detections, see `coco_ap.CategoryMatches`.
    """

    sample: str
    scene: str
    group: str
    of: str
    value: float
    category: int = -1
    true: int = 0
    confidences: tuple[float, ...] = ()
    matched: tuple[int, ...] = ()
    ignored: tuple[int, ...] = ()


def frame(scores: Iterable[SampleScore]) -> pd.DataFrame:
    """The rows as they are stored, one column a field."""
    import pandas as pd  # here, since scoring a file of responses does not need it

    columns = ["sample", "scene", "group", "of", "value", "category", "true", "confidences", "matched", "ignored"]
    rows = pd.DataFrame([asdict(score) for score in scores], columns=columns)
    return rows.astype({"value": "float64", "category": "int64", "true": "int64"})


def of_matches(
    matches: Iterable[CategoryMatches], of: str, names: Mapping[int, tuple[str, str, str]]
) -> list[SampleScore]:
    """Rows of detections, and one without a category of an image without any box, since it may be drawn as well.

    `names`: sample, scene and group of each image.
    """
    nan = float("nan")
    rows = {
        (m.image, m.category): SampleScore(
            *names[m.image], of, nan, m.category, m.true, m.confidences, m.matched, m.ignored
        )
        for m in matches
    }
    empty = names.keys() - {image for image, _ in rows}
    return [*rows.values(), *(SampleScore(*names[image], of, nan) for image in sorted(empty))]


def scenes(pictures: Sequence[Sequence[Picture]]) -> list[int]:
    """Connected components of samples that share pictures: of each sample, the number of its component.

    An image file is itself by its path, an image stored in a table by its bytes.
    """
    stored = digests(p for each in pictures for p in each if isinstance(p, StoredPicture))

    def key(picture: Picture) -> tuple[object, ...]:
        return (stored[picture],) if isinstance(picture, StoredPicture) else ("file", picture)

    return connected([[key(picture) for picture in each] for each in pictures])


def connected(keys: Sequence[Sequence[Hashable]]) -> list[int]:
    """Connected components of samples that share a key, numbered in the order of their first samples."""
    ids: dict[Hashable, int] = {}
    pairs = [(n, ids.setdefault(key, len(ids))) for n, each in enumerate(keys) for key in each]
    rows, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    size = len(keys) + len(ids)
    graph = coo_array((np.ones(len(rows)), (rows, len(keys) + columns)), shape=(size, size))
    _, labels = connected_components(graph, directed=False)
    return [int(label) for label in labels[: len(keys)]]
