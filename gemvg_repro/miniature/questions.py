"""Questions about the world, each with a true chain of thought: referential, semantic, spatial and temporal ones."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from ..grounding.samples import Kind, Sample, Target
from .patterns import (
    Pattern,
    distractor,
    draw_target_counts,
    find,
    fitting_look,
    frames_with,
    looks_with,
    random_look,
    random_pattern,
    tally,
)
from .world import (
    CATEGORIES,
    COLOURS,
    MOST_THINGS,
    Appearance,
    Frame,
    close_up,
    frame,
    from_another_view,
    place,
    step_in_time,
)

LETTERS = ("A", "B", "C", "D")


@dataclass(frozen=True, slots=True)
class WorldQuestion:
    """A question about frames of the world, with its answer and its chain of thought; becomes a sample."""

    kind: Kind
    frames: tuple[Frame, ...]
    query: str
    targets: tuple[tuple[int, int], ...] = ()
    """(index of the frame, index of the thing in the frame) of each target."""
    choice: str | None = None
    chain: str = ""
    options: tuple[str, ...] = ()

    def sample(self, sample_id: str, scene: str) -> Sample:
        """The sample of this id and scene; boxes are normalised, options stand in the query with their letters."""
        targets = tuple(Target(p, self.frames[p].things[t].box) for p, t in self.targets)
        query = " ".join([self.query, *map("{}. {}".format, LETTERS, self.options)])
        return Sample(sample_id, scene, self.kind, "world", self.frames, query, targets, self.choice, self.chain)


def referential(rng: Random, pictures: int, targets: int | None = None) -> WorldQuestion:
    """Referential retrieval: every thing that fits a pattern, in any of the pictures; of so many `targets`."""
    pattern = random_pattern(rng)
    frames = frames_with(rng, pattern, draw_target_counts(rng, pictures, targets))
    return about(frames, pattern)


def about(frames: tuple[Frame, ...], pattern: Pattern) -> WorldQuestion:
    """The referential question for a pattern, about given frames."""
    targets = find(frames, pattern)
    chain = f"{pattern}: {tally(targets, len(frames))}"
    return WorldQuestion("referential", frames, f"Find every {pattern}.", targets, chain=chain)


def semantic(rng: Random, pictures: int) -> WorldQuestion:
    """Semantic association: the category or colour of the object in Picture 1, or what all pictures share."""
    return shared(rng, pictures) if rng.random() < 0.3 else of_reference(rng, pictures)


def of_reference(rng: Random, pictures: int, targets: int | None = None) -> WorldQuestion:
    """The question for what has the colour or category of the object in Picture 1; of so many `targets`."""
    reference = random_look(rng)
    by_colour = rng.random() < 0.5
    pattern = Pattern(colour=reference[1]) if by_colour else Pattern(category=reference[0])
    first = frame(rng, place(rng, [reference]))
    frames = (first, *frames_with(rng, pattern, draw_target_counts(rng, pictures - 1, targets)))
    return like_reference(frames, by_colour)


def like_reference(frames: tuple[Frame, ...], by_colour: bool) -> WorldQuestion:
    """The question for what has the colour or category of the single thing in the first of these frames."""
    (reference,) = frames[0].things
    pattern = Pattern(colour=reference.colour) if by_colour else Pattern(category=reference.category)
    targets = find(frames, pattern, 1)
    attribute = "colour" if by_colour else "category"
    query = f"Find every object of the same {attribute} as the object in Picture 1."
    chain = f"Picture 1 shows a {Pattern(*reference.look)}. {pattern}: {tally(targets, len(frames), 1)}"
    return WorldQuestion("semantic", frames, query, targets, chain=chain)


def shared(rng: Random, pictures: int) -> WorldQuestion:
    """The question for the one look that every picture shows."""
    shared = Pattern(*random_look(rng))
    seen: set[Appearance] = set()
    frames = []
    for _ in range(pictures):
        others = [look for _ in range(rng.randint(0, 2)) if (look := distractor(rng, shared)) not in seen]
        seen.update(others)
        looks = [fitting_look(rng, shared), *others]
        rng.shuffle(looks)
        frames.append(frame(rng, place(rng, looks)))
    targets = find(frames, shared)
    query = "Find the object that is in every picture."
    chain = f"every picture shows a {shared}. {shared}: {tally(targets, pictures)}"
    return WorldQuestion("semantic", tuple(frames), query, targets, chain=chain)


def spatial(rng: Random, pictures: int) -> WorldQuestion:
    """Spatial association: Picture 1 is a close view of a thing; find it in the wide views that show it."""
    look = random_look(rng)
    pattern = Pattern(*look)
    same_place = [min(n, 1) for n in draw_target_counts(rng, pictures - 1)]
    if pictures > 2 and rng.random() < 0.4:
        same_place = [1] * (pictures - 1)  # two views of the same place
    things = place(rng, looks_with(rng, pattern, 1))
    ground = frame(rng, things)
    target = next(t for t in things if t.look == look)
    frames = [frame(rng, (close_up(rng, target),), ground.ground)]
    for is_same in same_place:
        if is_same:
            frames.append(frame(rng, from_another_view(rng, things), ground.ground))
        else:
            frames.append(frame(rng, place(rng, looks_with(rng, pattern, 0))))
    targets = find(frames, pattern, 1)
    query = "Picture 1 is a close view of an object. Find this object in the other pictures."
    chain = f"Picture 1 shows a {pattern}. {pattern}: {tally(targets, pictures, 1)}"
    return WorldQuestion("spatial", tuple(frames), query, targets, chain=chain)


def temporal(rng: Random, pictures: int) -> WorldQuestion:
    """Temporal association: the pictures are frames in time; find what moves, everywhere or where it ends."""
    moves = rng.random() >= 0.2
    while True:
        looks = rng.sample(
            [(c, k) for c in range(len(CATEGORIES)) for k in range(len(COLOURS))], rng.randint(2, MOST_THINGS)
        )
        steps = [place(rng, looks, 30)]
        mover = rng.randrange(len(looks)) if moves else None
        for _ in range(pictures - 1):
            things = step_in_time(rng, steps[-1], mover)
            if things is None:
                break
            steps.append(things)
        if len(steps) == pictures:
            break
    first = frame(rng, steps[0])
    frames = (first, *(frame(rng, moved, first.ground) for moved in steps[1:]))
    everywhere = rng.random() < 0.6
    last = f"in Picture {pictures}" if not everywhere else "in every picture"
    query = f"The pictures are frames of a video. Find the object that moves, {last}."
    if mover is None:
        return WorldQuestion("temporal", frames, query, chain="no object moves.")
    start = 0 if everywhere else pictures - 1
    targets = tuple((p, mover) for p in range(start, pictures))
    chain = f"the {Pattern(*looks[mover])} moves. {tally(targets, pictures, start)}"
    return WorldQuestion("temporal", frames, query, targets, chain=chain)
