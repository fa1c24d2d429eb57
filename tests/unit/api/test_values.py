"""The words of the API accept what mail and Kubernetes call valid, and nothing that could break out of a file."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from postboat.api import parse_duration, parse_quantity, values, write_quantity
from postboat.api.quantity import amount, canonical

Word = Any
GOOD = {
    values.EmailAddress: ["info@example.com", "Jane.Doe+tag@sub.example.org",
                          "o'neil@ex-ample.com", "a@münchen.example"],
    values.LocalPart: ["info", "jane.doe", "a+b", "x_y-z"],
    values.DomainName: ["example.com", "xn--mnchen-3ya.example", "münchen.example", "a.b.c.d", "EXAMPLE.com"],
    values.SenderPattern: ["jane@example.com", "@example.com"],
    values.AddressOrDomain: ["jane@example.com", "example.com", "dev.nethserver.org"],
    values.HostName: ["mail.example.com", "m-1.example"],
    values.Host: ["smtp.example.net", "sink", "192.0.2.25", "2001:db8::25", "::1", "a.b.svc"],
    values.Network: ["192.0.2.25", "192.0.2.0/24", "2001:db8::/32", "::1", "10.0.0.0/8"],
    values.Cidr: ["192.0.2.0/24", "::/0", "0.0.0.0/0"],
    values.Username: ["jane", "jane.doe", "j_d-1", "_x"],
    values.ObjectName: ["jane", "example.com", "a-b.c"],
    values.ServerName: ["mail"],
    values.Quantity: ["0", "20Mi", "1.5Gi", "1000000"],
    values.Size: ["1", "20Mi", "1.5Gi"],
    values.Duration: ["4d", "1h30m", "90s", "2w"],
    values.Line: ["", "Jane Doé, x", "[SPAM] "],
}  # fmt: skip
BAD = {
    values.EmailAddress: ["info", "@example.com", "a@b", "a b@example.com", ".a@example.com", "a..b@example.com",
                          "a@example.com.", "-a@example.com", "a@b@example.com", '"a b"@example.com', "a@192.0.2.1"],
    values.LocalPart: ["", "a@b", "a b", ".a", "a.", "-a", "x" * 65],
    values.DomainName: ["", "com", ".example.com", "example.com.", "a_b.com", "exa mple.com",
                        "-a.com", "a-.com", "1.2.3.4"],
    values.SenderPattern: ["example.com", "@", "example.com"],
    values.AddressOrDomain: ["@example.com", "*.example.com", "com"],
    values.HostName: ["mail", "mail_1.example.com", "münchen.example", "x" * 64 + ".example"],
    values.Host: ["[::1]", "a b", "192.0.2.256", "host:25", "1.2.3"],
    values.Network: ["192.0.2.0/33", "192.0.2", "::/129", "example.com", "10.0.0.0/08"],
    values.Cidr: ["192.0.2.25", "::1"],
    values.Username: ["Jane", "jane+x", "jane/..", "..", ".jane", "jane.", "a..b", "jane@x", "a*b", "%u", "-x", ""],
    values.ObjectName: ["Jane", "-a", "a_b", ""],
    values.ServerName: ["a.b", "x" * 41],
    values.Quantity: ["", "-1", "1 Gi", "1gi", "1e9", "1.", "Gi"],
    values.Size: ["0", "0Mi", "00"],
    values.Duration: ["0s", "4", "d", "1.5h", "-1d", "4 d", "P1D"],
    values.Line: ["a\nb", "a\rb", "a\x00b", "\x1b[0m", "a\u2028b", "a\x85b", "x" * 256],
}  # fmt: skip
TEXTUAL = [value for value in vars(values).values() if getattr(value, "__origin__", None) is str]


def accepts(kind: Word, text: str) -> bool:
    try:
        TypeAdapter(kind).validate_python(text)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in GOOD.items() for text in texts])
def test_valid_words_are_accepted(kind: Word, text: str) -> None:
    assert accepts(kind, text)


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in BAD.items() for text in texts])
def test_invalid_words_are_refused(kind: Word, text: str) -> None:
    assert not accepts(kind, text)


@pytest.mark.parametrize("kind", TEXTUAL)
@given(head=st.text(max_size=5), control=st.sampled_from("\n\r\0\x0b\x0c\x1b\x7f"), tail=st.text(max_size=5))
def test_no_word_holds_a_control_character(kind: Word, head: str, control: str, tail: str) -> None:
    assert not accepts(kind, head + control + tail)


@pytest.mark.parametrize("kind", [kind for kind in GOOD if kind is not values.Line])
def test_no_word_ends_in_a_newline(kind: Word) -> None:
    assert not any(accepts(kind, text + "\n") for text in GOOD[kind])


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("1", 1), ("20Mi", 20 << 20), ("1.5Gi", 3 << 29), ("20M", 20_000_000), ("1k", 1000), ("0.001", 1)],
)
def test_quantities_count_bytes(text: str, count: int) -> None:
    assert parse_quantity(text) == count


@pytest.mark.parametrize("text", ["0", "1", "20Mi", "1536Mi", "20M", "1k", "1001", "2Pi"])
def test_bytes_are_written_as_people_write_them(text: str) -> None:
    assert write_quantity(parse_quantity(text)) == text


@pytest.mark.parametrize(
    "same",
    [
        ("1Gi", "1024Mi", "1048576Ki", "1073741824", 1 << 30, "1073741824e0", "1073741824000m"),
        ("21m", "0.021", "21000u", ".021", "21e-3"),
        ("500m", "0.5", "0.500", "5e-1"),
        ("2", 2, "2000m", "2.0", "2."),
        ("1k", "1000", "1e3", "1E3", 1000),
        ("1536Mi", "1.5Gi"),
        ("1Ei", "1024Pi"),
        ("0", 0, "0m", "0Gi"),
    ],
)
def test_equal_amounts_are_equal_in_every_spelling(same: tuple[int | str, ...]) -> None:
    assert len({amount(value) for value in same}) == 1
    assert {canonical(value) for value in same} == {same[0]}


@given(st.from_regex(values.AMOUNT, fullmatch=True).filter(lambda text: not text.endswith("\n")))
def test_every_amount_of_the_schema_has_one_form_that_the_schema_takes(text: str) -> None:
    form = canonical(text)
    assert amount(form) == amount(text)
    assert canonical(form) == form
    assert len(form) <= 60


@pytest.mark.parametrize("word", ["", "1 Gi", "-1", "1gi", "Gi", "1e", "1Gi\n", "\u0661"])
def test_no_other_word_is_an_amount(word: str) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        amount(word)


@given(st.integers(0, 10**15 - 1))
def test_what_is_written_is_exact_and_valid(count: int) -> None:
    text = write_quantity(count)
    assert parse_quantity(text) == count
    assert len(text) <= len(str(count))


@pytest.mark.parametrize(("text", "seconds"), [("4d", 345600), ("1h30m", 5400), ("90s", 90), ("2w", 1209600)])
def test_durations_count_seconds(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@given(st.from_regex(values.QUANTITY, fullmatch=True).filter(lambda text: not text.endswith("\n")))
def test_every_quantity_that_the_schema_allows_can_be_counted(text: str) -> None:
    assert parse_quantity(text) >= 0


@given(st.from_regex(values.DURATION, fullmatch=True).filter(lambda text: not text.endswith("\n")))
def test_every_duration_that_the_schema_allows_can_be_counted(text: str) -> None:
    assert parse_duration(text) > 0


@given(st.text(max_size=12))
def test_anything_else_is_no_amount(text: str) -> None:
    for parse, kind in ((parse_quantity, values.Quantity), (parse_duration, values.Duration)):
        if not accepts(kind, text):
            with pytest.raises(ValueError, match="write"):
                parse(text)
