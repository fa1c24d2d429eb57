"""The page of each kind explains every field in the words of the schema, and its examples parse."""

from pathlib import Path

import pytest
import yaml

from postboat.api import GROUP, KINDS, Refusal, parse
from postboat.api.reference import reference

FOLDER = Path(__file__).parents[3] / "docs" / "kinds"
MARK = "<!-- Below this line everything is generated from the models. -->\n\n"

every_kind = pytest.mark.parametrize("name", KINDS)


def page(name: str) -> str:
    return (FOLDER / f"{name.lower()}.md").read_text()


@every_kind
def test_the_tables_are_those_of_the_models(name: str) -> None:
    assert page(name).split(MARK)[1] == reference(KINDS[name])


@every_kind
def test_the_examples_parse(name: str) -> None:
    blocks = [block.split("```")[0] for block in page(name).split("```yaml\n")[1:]]
    documents = [document for block in blocks for document in yaml.safe_load_all(block)]
    assert any(document["kind"] == name for document in documents)
    for document in documents:
        if document["apiVersion"].startswith(GROUP):
            assert not isinstance(parse(document).spec, Refusal), parse(document).spec
