"""Names in the one form in which they are compared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postboat.model import names


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("Example.ORG", "example.org"),
        ("example.org.", "example.org"),
        ("Bücher.example", "xn--bcher-kva.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("localhost", None),
        ("example.123", None),
        ("-a.example", None),
        ("a..example", None),
        ("", None),
        (f"{'a' * 64}.example", None),
        ("example.org\n", None),
    ],
)
def test_domain(text: str, form: str | None) -> None:
    assert names.domain(text) == form


@pytest.mark.parametrize("name", [names.EDGE_LOGIN, names.VISITOR_LOGIN])
def test_no_user_has_the_name_of_a_technical_login(name: str) -> None:
    """Dovecot takes `edge*edge` for the user himself, who has no password at a store: he could never read his mail."""
    assert names.user(name) is None
    assert names.user(name.lstrip(".")) is not None


@pytest.mark.parametrize(
    ("name", "host", "user"),
    [
        ("info", None, "info"),
        ("Info", "A.Example", "info@a.example"),
        ("info", "Bücher.example", "info@xn--bcher-kva.example"),
        ("info", "example", None),
        ("info", "", None),
        ("info", names.MAILBOX_DOMAIN, None),
        ("in=fo", "a.example", None),
        ("in@fo", "a.example", None),
        ("x" * 64, f"{'y' * 63}.{'z' * 60}.example", "x" * 64 + f"@{'y' * 63}.{'z' * 60}.example"),
        ("x" * 64, f"{'y' * 63}.{'z' * 63}.an.example", None),
    ],
)
def test_the_user_name_of_a_mailbox_in_one_domain_is_its_address(name: str, host: str | None, user: str | None) -> None:
    assert names.mailbox(name, host) == user
    if user is not None:
        assert names.mailbox_user(names.canonical(user)) == user
        assert (names.local_of(user), names.domain_of(user)) == tuple(user.partition("@")[::2])


_PARTS = st.text("ab.-_=@+1", min_size=1, max_size=6)


@given(st.tuples(_PARTS, _PARTS), st.tuples(_PARTS, st.none() | _PARTS))
def test_no_two_users_have_one_address(one: tuple[str, str], other: tuple[str, str | None]) -> None:
    users = {names.mailbox(one[0], f"{one[1]}.test"), names.mailbox(other[0], other[1] and f"{other[1]}.test")}
    users -= {None}
    addresses = {names.canonical(user) for user in users if user is not None}
    assert len(addresses) == len(users)
    assert {names.mailbox_user(address) for address in addresses} == users
    assert all(address.count("@") == 1 and "+" not in address for address in addresses)


def test_spellings_of_an_international_domain() -> None:
    assert names.spellings("xn--bcher-kva.example") == ("bücher.example", "xn--bcher-kva.example")
    assert names.spellings("example.org") == ("example.org",)
    sharp = names.domain("straße.example")
    assert sharp is not None
    assert names.spellings(sharp) == (sharp,), "Postfix would take the other form for strasse.example"


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("Jane.Doe", "jane.doe"),
        ("a", "a"),
        ("_x", "_x"),
        (".a", None),
        ("a.", None),
        ("a..b", None),
        ("a+b", None),
        ("a/b", None),
        ("..", None),
        ("a*b", None),
        ("lost+found", None),
        ("x" * 65, None),
        ("a\n", None),
    ],
)
def test_user(text: str, form: str | None) -> None:
    assert names.user(text) == form


def test_shards_never_move() -> None:
    assert [names.shard(local) for local in ("", "alice", "bob", "Alice")] == [52, 9, 18, 9]


def test_stores_are_within_their_count() -> None:
    assert {names.store(f"user{number}", 3) for number in range(50)} == {0, 1, 2}


def test_unicode_form_of_a_domain() -> None:
    assert names.unicode("xn--strae-oqa.example") == "straße.example"
    assert names.unicode("example.org") == "example.org"
    assert names.unicode("xn--a-.example") == "xn--a-.example", "what cannot be decoded is its own form"
