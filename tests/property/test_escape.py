"""No value ever breaks out of its place: what was written is read back by an independent reader, or refused."""

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postboat.render import escape
from postboat.render.shards import line
from tests.property import readers

awkward = st.text(alphabet=st.one_of(st.sampled_from(" \t\n\r\0\"'\\#${}%=;,<>()[]|+*@-\x85\u2028"), st.characters()))


def _written(write: Callable[[str], str], value: str) -> str | None:
    try:
        return write(value)
    except ValueError:
        return None


@given(awkward)
@example("$(mynetworks)")
@example("a\n b = c")
def test_main_cf(value: str) -> None:
    written = _written(escape.postfix, value)
    if written is not None:
        assert readers.postfix_main(f"before = 1\nname = {written}\nafter = 2\n") == {
            "before": "1",
            "name": value,
            "after": "2",
        }


@given(awkward)
def test_word_of_a_list(value: str) -> None:
    written = _written(escape.postfix_word, value)
    if written is not None:
        assert readers.postfix_main(f"name = a, {written}, b\n")["name"].split(", ") == ["a", value, "b"]


@given(st.lists(awkward, min_size=1, max_size=4))
def test_row_of_a_table(values: list[str]) -> None:
    try:
        written = line("table", tuple(values))
    except ValueError:
        return
    assert written.endswith("\n")
    assert written[:-1].split("\t") == ["table", *values]
    assert len(written.split("\n")) == 2


@given(awkward)
@example('a"b')
@example("a\\")
@example("%{env:HOME}")
@example('"\nssl = no\n"')
def test_dovecot(value: str) -> None:
    written = _written(escape.dovecot, value)
    if written is not None:
        assert readers.quoted(written, {'"': '"', "\\": "\\"}) == value
        assert not set("%$") & set(value)


@given(awkward)
@example("$DBDIR")
@example("a$$b$")
@example('a"b\\')
def test_ucl(value: str) -> None:
    written = _written(escape.ucl, value)
    if written is not None:
        assert readers.ucl(written) == value


@given(awkward)
@example('a"b\\')
def test_valkey(value: str) -> None:
    written = _written(escape.valkey, value)
    if written is not None:
        assert readers.quoted(written, {'"': '"', "\\": "\\"}) == value


@pytest.mark.parametrize(
    "write",
    [escape.postfix, escape.dovecot, escape.ucl, escape.valkey],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("value", ["mail.example.org", "inet:mail-filter.mail.svc.cluster.local:11332", "bücher"])
def test_ordinary_values_are_written(write: Callable[[str], str], value: str) -> None:
    assert value in write(value)
