"""What names say, and what they leave open."""

from dataclasses import replace

from gemvg_repro.corpora.frames import EVERYTHING, AnnotatedFrame, Instance
from gemvg_repro.corpora.naming import attribute_value, with_attributes

FAMILIES = {"category": ["disc", "cross"], "colour": ["red object", "blue object"]}
BOX = (0.1, 0.1, 0.3, 0.3)


def frame(*names: str, unclear: tuple[str, ...] = ()) -> AnnotatedFrame:
    things = tuple(Instance(str(n), name, BOX) for n, name in enumerate(names))
    return AnnotatedFrame("f", "s", "f.png", 64, 64, things, unclear=frozenset(unclear))


def test_a_name_says_the_phrases_whose_words_it_has() -> None:
    (thing,) = with_attributes(frame("red disc"), FAMILIES).instances
    assert thing.phrases == ("red disc", "disc", "red object")
    assert (
        attribute_value(thing, FAMILIES["colour"]) == "red object" and attribute_value(thing, ["blue object"]) is None
    )


def test_a_description_says_them_too_and_none_comes_twice() -> None:
    described = replace(frame("red disc").instances[0], category="", attributes=("disc", "red disc"))
    (thing,) = with_attributes(replace(frame(), instances=(described,)), FAMILIES).instances
    assert thing.phrases == ("disc", "red disc", "red object")


def test_an_object_without_a_colour_leaves_all_colours_open() -> None:
    assert with_attributes(frame("red disc", "disc"), FAMILIES).unclear == {"red object", "blue object"}
    assert with_attributes(frame("red disc", "blue and red disc"), FAMILIES).unclear == {"red object", "blue object"}
    assert not with_attributes(frame("red disc", "blue cross"), FAMILIES).unclear


def test_what_is_unclear_may_have_what_its_name_says() -> None:
    assert with_attributes(frame(unclear=("red disc",)), FAMILIES).unclear == {"red disc", "red object", "disc"}
    everything = with_attributes(frame(unclear=(EVERYTHING,)), FAMILIES).unclear
    assert everything == {EVERYTHING, "disc", "cross", "red object", "blue object"}


def test_without_attributes_nothing_changes() -> None:
    assert with_attributes(frame("red disc"), {}) is not None and with_attributes(frame("red disc"), {}) == frame(
        "red disc"
    )
