"""Writes the generated half of docs/kinds/*.md, the tables of fields, from the models.

What people wrote above the mark of each page stays as it is.
"""

from __future__ import annotations

from pathlib import Path

from postboat.api import KINDS
from postboat.api.reference import reference

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "kinds"
MARK = "<!-- Below this line everything is generated from the models. -->\n\n"


def main() -> None:
    """Rewrite every page."""
    for name, kind in KINDS.items():
        page = FOLDER / f"{name.lower()}.md"
        page.write_text(page.read_text().split(MARK)[0] + MARK + reference(kind))


if __name__ == "__main__":
    main()
