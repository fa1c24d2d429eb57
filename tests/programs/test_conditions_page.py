"""The page of conditions: every reason that the operator can give has a line there, and no other has.

Reasons are a closed set, so a user who looks one up must find it.
"""

from __future__ import annotations

import re

from postboat.model.verdict import Reason
from tools.rows import ROOT


def test_every_reason_has_one_line_on_the_page() -> None:
    table = (ROOT / "docs/conditions.md").read_text().partition("## Reasons")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"(?m)^\| `(\w+)` \|", table)) == sorted(Reason)
