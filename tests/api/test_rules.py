"""The API server itself refuses what the rules forbid, with words that tell what to write."""

import itertools
from collections.abc import Iterator

import pytest

from postboat.api import KINDS, Refusal, parse
from postboat.api.base import Model, Rule
from tests.api.server import Json, Server
from tests.unit.api.generated import raw_object

pytestmark = pytest.mark.api

SECRET = {"name": "s", "key": "k"}
LDAP = {"urls": ["ldaps://d.example.com"], "baseDN": "dc=example"}
REMOTE = {"host": "h.example.com", "username": "u", "passwordSecret": SECRET}
FETCH = {"mailbox": "jane", "protocol": "IMAP", "remote": REMOTE}
RELAYED: Json = {"host": "h.example.com", "default": True, "credentialsSecret": {"name": "login"}}
MIGRATION = {**FETCH, "mode": "Migration"}
SERVER = {"hostname": "mail.example.com"}
LONG = "x" * 65

# kind, name, spec, and the beginning of the message that must come
REFUSED: list[tuple[str, str, Json, str]] = [
    ("MailServer", "x" * 41, SERVER, "write a name of at most 40 characters"),
    ("MailServer", "a.b", SERVER, "write a name of at most 40 characters"),
    ("MailServer", "m", {**SERVER, "pods": {"web": {}}}, "write one of the workloads"),
    ("MailServer", "m", {**SERVER, "service": {"externalTrafficPolicy": "Local"}}, "externalTrafficPolicy needs"),
    ("MailServer", "m", {**SERVER, "service": {"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "SingleStack"}},
     "write ipFamilyPolicy"),
    ("MailServer", "m", {**SERVER, "service": {"loadBalancerClass": "x/y"}}, "loadBalancerClass needs"),
    ("MailServer", "m", {**SERVER, "service": {"loadBalancerSourceRanges": ["::/0"]}}, "loadBalancerSourceRanges nee"),
    ("MailServer", "m", {**SERVER, "accounts": {"ldap": {**LDAP, "bindDN": "cn=x"}}}, "write bindDN and"),
    ("MailDomain", "no-domain", {}, "write spec.domain"),
    ("MailDomain", "example.com", {"delivery": "Relay"}, "write relay"),
    ("MailDomain", "example.com", {"relay": {"host": "h.example.com"}}, "write relay"),
    ("MailDomain", "example.com", {"unknownRecipients": {"action": "Deliver"}}, "write mailbox"),
    ("MailDomain", "example.com", {"unknownRecipients": {"action": "Reject", "mailbox": "x"}}, "write mailbox"),
    ("MailDomain", "example.com", {"delivery": "Relay", "relay": {"host": "h.example.com"}, "unknownRecipients":
     {"action": "Reject"}}, "leave out unknownRecipients"),
    ("Mailbox", LONG, {}, "write spec.username"),
    ("Mailbox", "g", {"type": "Group", "passwordSecret": SECRET}, "passwordSecret has a meaning only with type User"),
    ("Mailbox", "g", {"type": "Public", "access": {}}, "access has a meaning only with type User"),
    ("Mailbox", "g", {"type": "Group", "forward": {"to": ["a@b.example"]}}, "forward has a meaning only with type"),
    ("Mailbox", "g", {"type": "Group", "quota": "1Gi"}, "quota has a meaning only with type Public or User"),
    ("Mailbox", "g", {"type": "Group", "junk": {}}, "junk has a meaning only with type Public or User"),
    ("Mailbox", "g", {"members": ["a"]}, "members has a meaning only with type Group"),
    ("Mailbox", "g", {"type": "Group", "owners": [{"name": "a"}]}, "owners has a meaning only with type Public"),
    ("MailAddress", LONG, {"destinations": [{"mailbox": "a"}]}, "write spec.localPart"),
    ("MailAddress", "a", {"destinations": [{}]}, "write either mailbox"),
    ("MailAddress", "a", {"destinations": [{"mailbox": "a", "address": "a@b.example"}]}, "write either mailbox"),
    ("Connector", "c", {**FETCH, "remote": {"host": "h", "username": "u"}}, "write either passwordSecret"),
    ("Connector", "c", {**MIGRATION, "protocol": "POP3"}, "a migration needs protocol IMAP"),
    ("Connector", "c", {**FETCH, "runId": "1"}, "runId has a meaning only with mode Migration"),
    ("Connector", "c", {**FETCH, "protocol": "POP3", "remote": {**REMOTE, "folders": {}}}, "remote.folders needs"),
    ("Connector", "c", {**MIGRATION, "interval": "5m"}, "interval has a meaning only with mode Fetch"),
    ("Connector", "c", {**MIGRATION, "deleteAfterDelivery": True}, "deleteAfterDelivery has a meaning only"),
    ("Connector", "c", {**MIGRATION, "filter": True}, "filter has a meaning only with mode Fetch"),
    ("RelayHost", "r", {"host": "h.example.com"}, "write senders"),
    ("RelayHost", "r", {"host": "h.example.com", "default": True, "implicitTLS": True, "tls": "None"}, "implicitTLS"),
    ("RelayHost", "r", {**RELAYED, "tls": "None"}, "credentialsSecret needs tls"),
    ("RelayHost", "r", {**RELAYED, "tls": "Opportunistic"}, "credentialsSecret needs tls"),
    ("RelayHost", "r", {**RELAYED, "tls": "DANE", "host": "192.0.2.7"}, "tls DANE needs a host name"),
    ("RelayHost", "r", {**RELAYED, "tls": "DANE", "host": "2001:db8::a"}, "tls DANE needs a host name"),
    ("FilterPolicy", "f", {"antispam": {"thresholds": {"greylist": 5, "flag": 4}}}, "greylist must not be above flag"),
    ("FilterPolicy", "f", {"antispam": {"thresholds": {"flag": 5, "deny": 4.5}}}, "flag must not be above deny"),
    ("FilterPolicy", "f", {"antispam": {"thresholds": {"greylist": 5, "deny": 4}}}, "greylist must not be above deny"),
    ("FilterPolicy", "f", {"quarantine": {}}, "write either mailbox"),
]  # fmt: skip

# kind, name, spec, change, and the beginning of the message that must come ("" where the change is allowed)
CHANGED: list[tuple[str, str, Json, Json, str]] = [
    ("MailDomain", "example.com", {}, {"domain": "example.org"}, "domain never changes"),
    ("MailDomain", "example.com", {}, {"domain": "example.com"}, ""),
    ("MailDomain", "d", {"domain": "example.org"}, {"domain": "example.net"}, "domain never changes"),
    ("MailDomain", "example.net", {"domain": "example.org"}, {"domain": None}, "domain never changes"),
    ("Mailbox", "jane", {}, {"username": "joan"}, "username never changes"),
    ("Mailbox", "jane", {"username": "j"}, {"username": None}, "username never changes"),
    ("Mailbox", "jane", {}, {"type": "Group"}, "the type of a mailbox never changes"),
    ("Mailbox", "jane", {}, {"type": "User"}, ""),
    ("Mailbox", "team", {"type": "Group"}, {"type": None}, "the type of a mailbox never changes"),
    ("Mailbox", "jane", {}, {"domain": "example.com"}, "the domain of a mailbox never changes"),
    ("Mailbox", "jane", {"domain": "example.com"}, {"domain": None}, "the domain of a mailbox never changes"),
    ("Mailbox", "jane", {"domain": "example.com"}, {"domain": "example.net"}, "the domain of a mailbox never changes"),
    ("Mailbox", "jane", {"domain": "example.com"}, {"quota": "1Gi"}, ""),
    ("Mailbox", "jane", {"server": "a"}, {"server": "b"}, "a mailbox never moves"),
    ("Mailbox", "jane", {"server": "a"}, {"server": None}, "a mailbox never moves"),
    ("Mailbox", "jane", {}, {"server": "a", "quota": "1Gi"}, ""),
    ("MailAddress", "info", {"destinations": [{"mailbox": "a"}]}, {"localPart": "office"}, "localPart never changes"),
    ("MailAddress", "info", {"destinations": [{"mailbox": "a"}]}, {"domain": "example.com"}, ""),
    ("MailServer", "m", {**SERVER, "storage": {"storageClassName": "a"}}, {"storage": {"storageClassName": "b"}},
     "storage.storageClassName never changes"),
    ("MailServer", "m", {**SERVER, "smtp": {"queue": {"storageClassName": "a"}}}, {"smtp": None},
     "smtp.queue.storageClassName never changes"),
    ("MailServer", "m", SERVER, {"valkey": {"storageClassName": "b"}}, "valkey.storageClassName never changes"),
    ("MailServer", "m", SERVER, {"antivirus": {"storageClassName": "b"}}, "antivirus.storageClassName never changes"),
    ("MailServer", "m", SERVER, {"fetch": {"storageClassName": "b"}}, "fetch.storageClassName never changes"),
    ("MailServer", "m", {**SERVER, "service": {"type": "LoadBalancer"}}, {"service": {"loadBalancerClass": "x/y"}},
     "service.loadBalancerClass never changes"),
    ("MailServer", "m", {**SERVER, "service": {"type": "LoadBalancer", "loadBalancerClass": "x/y"}},
     {"service": {"loadBalancerClass": None}}, "service.loadBalancerClass never changes"),
    ("MailServer", "m", {**SERVER, "service": {"type": "LoadBalancer", "loadBalancerClass": "x/y"}},
     {"service": {"type": "ClusterIP", "loadBalancerClass": None}}, ""),
    ("MailServer", "m", {**SERVER, "service": {"ipFamilies": ["IPv4"]}}, {"service": {"ipFamilies": ["IPv6"]}},
     "the first of service.ipFamilies never changes"),
    ("MailServer", "m", {**SERVER, "service": {"ipFamilies": ["IPv4"]}}, {"service": {"ipFamilies": ["IPv4", "IPv6"]}},
     ""),
    ("MailServer", "m", SERVER, {"hostname": "mx.example.com", "storage": {"size": "9Gi"}}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "spec", "message"), REFUSED)
def test_a_broken_rule_is_refused_with_its_message(
    server: Server, kind: str, name: str, spec: Json, message: str
) -> None:
    raw = raw_object(KINDS[kind], name, spec)
    answer = server.create(raw)
    assert answer.code == 422, answer
    assert message in answer.message
    refused = parse(raw).spec
    assert isinstance(refused, Refusal)
    if kind != "MailServer" or "pods" not in spec:  # there, pydantic has words of its own
        assert refused.message.startswith(message)
        assert refused.message in answer.message


@pytest.mark.parametrize(("kind", "name", "spec", "change", "message"), CHANGED)
def test_what_must_stay_stays(  # noqa: PLR0913, PLR0917 -- the columns of the table
    server: Server, kind: str, name: str, spec: Json, change: Json, message: str
) -> None:
    created = server.create(raw_object(KINDS[kind], name, spec), dry=False)
    assert created.taken, created
    try:
        answer = server.change(KINDS[kind], name, change)
    finally:
        server.delete(KINDS[kind], name)
    assert answer.taken is not bool(message), answer
    assert message in answer.message


def rules_of(model: type[Model]) -> Iterator[Rule]:
    yield from model.constraints
    for field in model.model_fields.values():
        for inner in models_in(field.annotation):
            yield from rules_of(inner)


def models_in(annotation: Json) -> Iterator[type[Model]]:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from models_in(argument)


def test_every_rule_has_been_broken_once() -> None:
    proved = {message for *_, message in REFUSED} | {message for *_, message in CHANGED if message}
    for kind in KINDS.values():
        for rule in itertools.chain(kind.name_rules, rules_of(kind.spec_model)):
            assert any(rule.message.startswith(message) for message in proved), rule.message
