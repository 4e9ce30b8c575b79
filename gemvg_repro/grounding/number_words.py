"""The English words for numbers that questions, answers and benchmark files are written with."""

from __future__ import annotations

CARDINALS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
"""By the number: CARDINALS[2] is "two"."""

ORDINALS = (
    *("first", "second", "third", "fourth", "fifth", "sixth"),
    *("seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth"),
)
"""By the 0-based position: ORDINALS[1] is "second"."""
