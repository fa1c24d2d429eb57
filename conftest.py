"""Carries the feature rows of every case into the reports.

A case says `@pytest.mark.row("D1")`; `make rows` reads the ids back from the JSON reports of the last runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Write the ids of the row markers into what the report keeps of a case."""
    for item in items:
        ids = {str(row) for mark in item.iter_markers("row") for row in mark.args}
        item.user_properties.extend(("row", row) for row in sorted(ids))
