"""Which letters Postfix takes for others when it folds a key, held against the mapping that domains are compared by."""

from collections.abc import Iterator
from re import ASCII, IGNORECASE
from re import compile as pattern

import idna
import pytest

from postboat.model import names
from postboat.render import postfix


def letters() -> Iterator[str]:
    """All that folding changes."""
    every = map(chr, (*range(0x80, 0xD800), *range(0xE000, 0x110000)))
    return (letter for letter in every if letter.casefold() != letter)


def mapped(text: str) -> str | None:
    try:
        return idna.uts46_remap(text, std3_rules=False, transitional=False)
    except idna.IDNAError:
        return None


def test_no_other_letter_makes_another_domain_when_it_is_folded() -> None:
    found = {letter for letter in letters() if (own := mapped(letter)) and own != mapped(letter.casefold())}
    assert found == set(postfix._OTHER_WHEN_FOLDED)


@pytest.mark.parametrize(
    ("domain", "written"),
    [
        ("xn--strae-oqa.test", "straße.test"),
        ("xn--strae-oqa.test", "StraẞE.Test"),
        ("xn--rs-gia6g.test", "rßös.test"),
        ("xn--rs-gia6g.test", "RẞÖS.test"),
    ],
)
def test_commands_with_such_a_domain_go_on_in_ascii(domain: str, written: str) -> None:
    form = names.unicode(domain)
    letters_ = "".join(postfix._either_case(letter) for letter in form)
    assert any(letter in form for letter in postfix._OTHER_WHEN_FOLDED)
    assert pattern(letters_, IGNORECASE | ASCII).fullmatch(written)
    assert not pattern(letters_, IGNORECASE | ASCII).fullmatch(written.casefold())
