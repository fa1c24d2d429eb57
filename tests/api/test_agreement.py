"""What the API server and the models say about the same object is the same, and the server never stumbles.

One difference is known: the form of the keys of a map (labels, annotations, resources) is judged by the models alone,
since a structural schema cannot say it. No object made here has such a key.
"""

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from postboat.api import KINDS, Refusal, parse
from tests.api.server import Server
from tests.unit.api.generated import raw_object, specs

pytestmark = pytest.mark.api

NAMES = {"MailServer": ["mail"], "MailDomain": ["example.com", "example.com", "not-a-domain"]}
FORBIDDEN_ON_CREATE = frozenset({400, 422})


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture],
)
def test_server_and_models_agree(server: Server, kind: str, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES.get(kind, ["jane", "jane", "jane", "x" * 65])))
    raw = raw_object(KINDS[kind], name, data.draw(specs(KINDS[kind])))
    answer = server.create(raw)
    assert answer.taken or answer.code in FORBIDDEN_ON_CREATE, answer
    event(f"code {answer.code}")
    parsed = parse(raw).spec
    assert answer.taken is not isinstance(parsed, Refusal), (raw, answer.message, parsed)
