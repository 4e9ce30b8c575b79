"""The order of all tests."""

from __future__ import annotations

import pytest

LONGEST = {"test_notebooks", "test_faults", "test_raccoon", "test_killed_saves"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first: of two workers, who got them last would be the only one at work."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)
