"""What is sent says the same to a reader of JSON and to one of YAML."""

import json

import yaml
from hypothesis import given
from hypothesis import strategies as st

from postboat.cluster.client import encoded


@given(st.text())
def test_every_text_arrives_as_it_is_whoever_reads(text: str) -> None:
    sent = encoded({"data": {"text": text}})
    assert json.loads(sent) == {"data": {"text": text}}
    assert yaml.safe_load(sent) == {"data": {"text": text}}


def test_a_character_of_two_escapes_is_written_as_itself() -> None:
    assert encoded({"a": "é🙂\ufeff"}) == '{"a":"\\u00e9🙂\\ufeff"}'.encode()
