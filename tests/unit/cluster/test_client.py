"""What is sent says the same to a reader of JSON and to one of YAML."""

import json

import yaml
from hypothesis import given
from hypothesis import strategies as st

from postboat.cluster.client import _told, encoded


@given(st.text())
def test_every_text_arrives_as_it_is_whoever_reads(text: str) -> None:
    sent = encoded({"data": {"text": text}})
    assert json.loads(sent) == {"data": {"text": text}}
    assert yaml.safe_load(sent) == {"data": {"text": text}}


def test_a_character_of_two_escapes_is_written_as_itself() -> None:
    assert encoded({"a": "é🙂\ufeff"}) == '{"a":"\\u00e9🙂\\ufeff"}'.encode()


def test_of_a_secret_only_what_quotes_nothing_is_said() -> None:
    secrets, quota = (
        "POST /api/v1/namespaces/mail/secrets",
        "requested: count/secrets=1,secrets=1, used: count/secrets=5",
    )
    denied = f'secrets "a" is forbidden: exceeded quota: small, {quota}, limited: count/secrets=5'
    assert _told(secrets, denied) == f"exceeded quota: small, {quota}, limited: count/secrets=5"
    frozen = 'Secret "a" is invalid: data: Forbidden: field is immutable when `immutable` is set'
    assert _told(secrets, frozen) == "field is immutable when `immutable` is set"
    assert _told(secrets, 'Secret "a" is invalid: data[k]: Invalid value: "word"') == ""
    assert _told("POST /api/v1/namespaces/mail/services", "port 25 is taken") == "port 25 is taken"
