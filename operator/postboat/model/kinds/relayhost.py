"""RelayHost: the next hop for mail of some senders, or for all other mail that leaves the platform.

Of two relay hosts for one sender the older one counts. Mail of a sender whose relay host lacks its credentials or its
authority waits: it never leaves by another way or without what the relay host demands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from postboat.agent.deliveries import UNVALIDATED, Deliveries, Delivery
from postboat.api.relayhost import CredentialsSecret, RelayHostSpec
from postboat.api.resource import Refusal, Resource
from postboat.api.values import RelayHostTls
from postboat.model import certificates, names, references
from postboat.model.domains import age
from postboat.model.kinds.rules import Around, KindRules, Observed, Settled
from postboat.model.platform import Platform, RelayHost
from postboat.model.snapshot import SecretContent
from postboat.model.verdict import DELETING, Key, Reason, Verdict

MOST: Final = 100
"""Relay hosts of one MailServer: each is a service of Postfix' master process."""
MOST_BYTES: Final = 256 * 1024
"""Bytes of certificates of all relay hosts together, in the one Secret of the smtp pods."""
_LONGEST: Final = 512
"""Bytes of a user name or password (RFC 4954 lets a line of AUTH have 12288)."""
_RENEWED: Final = 600
"""Seconds after which the time of an outcome that stays the same is written anew."""
_PAUSE: Final = 60
"""Seconds at least between two texts of one outcome: no message costs a write."""
_SUPPORTED: Final = frozenset(
    {"caSecret", "credentialsSecret", "default", "host", "implicitTLS", "port", "senders", "server", "tls"}
)
_CREDENTIALS: Final = "spec.credentialsSecret"
_AUTHORITY: Final = "spec.caSecret"
_DEFAULT: Final = "default"
_CURES: Final = (
    (
        UNVALIDATED,
        (
            "the DNS resolver of the cluster does not validate DNSSEC (no AD bit), so no TLSA record counts;"
            " let the DNS of the cluster ask a resolver that validates, or write another level"
        ),
    ),
    ("no TLSA records found", "publish TLSA records for {record} in a zone that is signed with DNSSEC"),
    ("TLSA lookup error", "DNS gives no answer about {record}, or one with a wrong signature; correct the zone"),
    ("TLSA records unusable", "no TLSA record for {record} is of use; publish one of usage 3 or 2, as 3 1 1"),
    ("ertificate not ", "its certificate matches no TLSA record for {record}; correct the record or the certificate"),
    ("TLS is required", "it offers no STARTTLS, or somebody on the way takes it away"),
)
"""Words of Postfix 3.10 (smtp_tls_policy.c, smtp_proto.c) for a host that DANE does not hold for, and what mends it."""
_OUTCOMES: Final = {"accepted": "lastAccepted", "deferred": "lastDeferred", "refused": "lastRefused"}
"""Outcomes of deliveries, and their fields in the status; of two in one second the later one in this list counts."""


def _secrets(resource: Resource) -> frozenset[str]:
    spec = resource.spec
    if not isinstance(spec, RelayHostSpec):
        return frozenset()
    named = (spec.credentials_secret, spec.ca_secret)
    return frozenset(one.name for one in named if one is not None)


def _settle(resources: Sequence[Resource], around: Around) -> Settled:
    owners: dict[str, str] = {}
    hosts: list[RelayHost] = []
    verdicts: list[tuple[Key, Verdict]] = []
    authorities: set[bytes] = set()
    for resource in sorted(resources, key=age):
        verdict, host = _judge(resource, owners, around)
        if host is not None and len(hosts) == MOST:
            verdict = Verdict(Reason.TOO_LARGE, f"there are {MOST} older relay hosts, and no more are served")
            host = None
        if host is not None and not _fits(authorities | {host.authority}):
            verdict = _too_large(resource.name)
            host = replace(host, authority=b"", waits="its certificates do not fit")
        if host is not None:
            owners |= dict.fromkeys((*host.senders, *([_DEFAULT] if host.default else [])), resource.name)
            authorities.add(host.authority)
            hosts.append(host)
        verdicts.append(((resource.kind, resource.name), verdict))
    return Settled(tuple(sorted(hosts, key=lambda host: host.resource)), tuple(verdicts))


def _judge(resource: Resource, owners: Mapping[str, str], around: Around) -> tuple[Verdict, RelayHost | None]:
    spec = resource.spec
    if not isinstance(spec, RelayHostSpec):
        message, path = (spec.message, spec.path) if isinstance(spec, Refusal) else ("this is no RelayHost", "")
        return Verdict(Reason.INVALID, message, path), None
    if resource.deleting:
        return DELETING, None
    senders, fault = _senders(spec, owners)
    default = spec.default is True
    if default and _DEFAULT in owners:
        default, fault = False, _taken("it is the default for all other mail", owners[_DEFAULT], "spec.default")
    if not senders and not default:
        nobody = Verdict(Reason.INVALID, "no sender is left whose mail could leave by it", "spec.senders")
        return replace(fault or nobody, effective=False), None
    login, credentials_fault = _credentials(spec.credentials_secret, around)
    authority, authority_fault = _authority(spec, around.secrets)
    waits = ""
    if authority_fault is not None and _tls(spec) is RelayHostTls.VERIFIED:
        waits = "its certificates are missing"
    if credentials_fault is not None:
        waits = "its credentials are missing"
    host = RelayHost(
        resource=resource.name,
        host=spec.host.lower(),
        port=_port(spec),
        tls=_tls(spec).value,
        implicit_tls=spec.implicit_tls is True,
        senders=senders,
        default=default,
        login=spec.credentials_secret is not None,
        username=login[0],
        password=login[1],
        authority=authority,
        waits=waits,
    )
    return credentials_fault or authority_fault or fault or RELAY_HOST.verdict(resource), host


def _port(spec: RelayHostSpec) -> int:
    return spec.port or (465 if spec.implicit_tls else 587)


def _tls(spec: RelayHostSpec) -> RelayHostTls:
    if spec.tls is not None:
        return spec.tls
    if spec.credentials_secret is not None:
        return RelayHostTls.VERIFIED
    return RelayHostTls.REQUIRED if spec.implicit_tls else RelayHostTls.OPPORTUNISTIC


def _senders(spec: RelayHostSpec, owners: Mapping[str, str]) -> tuple[tuple[str, ...], Verdict | None]:
    """Give every form of the senders that no older relay host has, and what is wrong with the first of the others."""
    found: set[str] = set()
    fault = None
    for number, pattern in enumerate(spec.senders):
        local, _, text = pattern.rpartition("@")
        domain = names.domain(text)
        path = f"spec.senders[{number}]"
        if domain is None or names.reserved(domain):
            message = "the domain can have no form in the DNS, so nobody sends from it"
            fault = fault or Verdict(Reason.INVALID, message, path, effective=True)
            continue
        forms = {f"{local.lower()}@{spelling}" for spelling in names.spellings(domain)}
        owner = next((owners[form] for form in sorted(forms) if form in owners), None)
        if owner is None:
            found |= forms
        else:
            fault = fault or _taken(f"mail of {pattern} leaves by it", owner, path)
    return tuple(sorted(found)), fault


def _taken(what: str, owner: str, path: str) -> Verdict:
    return Verdict(Reason.CONFLICT, f"RelayHost {owner} is older, and {what}", path, effective=True)


def _credentials(reference: CredentialsSecret | None, around: Around) -> tuple[tuple[str, str], Verdict | None]:
    """Find user name and password; without them nothing is sent that the relay host would refuse."""
    none = ("", "")
    if reference is None:
        return none, None
    if references.own(reference.name, around.servers):
        message = f"Secret {reference.name} is the platform's own, write the login into another: mail waits"
        return none, Verdict(Reason.INVALID, message, f"{_CREDENTIALS}.name", effective=True)
    secret = around.secrets.get(reference.name)
    if secret is None or not secret.exists:
        message = f"there is no Secret {reference.name}: mail waits"
        return none, Verdict(Reason.SECRET_NOT_FOUND, message, _CREDENTIALS, effective=True)
    found: list[str] = []
    for key in (reference.username_key or "username", reference.password_key or "password"):
        content = secret.data.get(key)
        if content is None:
            message = f"Secret {reference.name} has no key {key}: mail waits"
            return none, Verdict(Reason.SECRET_KEY_NOT_FOUND, message, _CREDENTIALS, effective=True)
        text, fault = _word(content)
        if not found and ":" in text:
            fault = "holds a colon, which Postfix takes for the end of the user name"
        if fault:
            message = f"Secret {reference.name}, key {key} {fault}: mail waits"
            return none, Verdict(Reason.INVALID_SECRET, message, _CREDENTIALS, effective=True)
        found.append(text)
    return (found[0], found[1]), None


def _word(content: bytes) -> tuple[str, str]:
    """Read a user name or password, and tell what is wrong with it, without its value."""
    line = content.removesuffix(b"\n").removesuffix(b"\r")
    if not line:
        return "", "is empty"
    if len(line) > _LONGEST:
        return "", f"is longer than {_LONGEST} bytes"
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return "", "is not UTF-8"
    if not text.isprintable():
        return "", "holds more than one line, or a control character"
    # postmap(1) drops them, and nearly always they came by mistake.
    return ("", "begins or ends with white space") if text != text.strip() else (text, "")


def _authority(spec: RelayHostSpec, secrets: Mapping[str, SecretContent]) -> tuple[bytes, Verdict | None]:
    reference = spec.ca_secret
    if reference is None:
        return b"", None
    secret = secrets.get(reference.name)
    if secret is None or not secret.exists:
        message = f"there is no Secret {reference.name}: nothing can be verified with it"
        return b"", Verdict(Reason.SECRET_NOT_FOUND, message, _AUTHORITY, effective=True)
    content = secret.data.get(reference.key, b"")
    authority = certificates.only_certificates(content)
    if not authority:
        reason = Reason.INVALID_SECRET if content else Reason.SECRET_KEY_NOT_FOUND
        message = f"Secret {reference.name} has no certificates (PEM) under {reference.key}: nothing can be verified"
        return b"", Verdict(reason, message, _AUTHORITY, effective=True)
    return (authority if _tls(spec) is RelayHostTls.VERIFIED else b""), None


def _fits(authorities: set[bytes]) -> bool:
    return sum(map(len, authorities)) <= MOST_BYTES


def _too_large(name: str) -> Verdict:
    message = (
        f"the certificates do not fit beside those of older relay hosts, {MOST_BYTES // 1024} KiB in all:"
        f" state only the authority that signed the certificate of RelayHost {name}; until then mail waits"
    )
    return Verdict(Reason.TOO_LARGE, message, _AUTHORITY, effective=True)


def _facts(resource: Resource, _verdict: Verdict, platform: Platform) -> dict[str, Any]:
    host = next((one for one in platform.relay_hosts if one.resource == resource.name), None)
    return {"endpoint": host.endpoint, "senderCount": len(host.senders)} if host is not None else {}


def _observed(resource: Resource, seen: Any | None, now: datetime) -> Observed:  # noqa: ANN401 -- each kind is told its own
    """Tell of the last deliveries; what is known already stays until there is something to add."""
    kept = {field: resource.status[field] for field in _OUTCOMES.values() if resource.status.get(field)}
    if not isinstance(seen, Deliveries):
        return Observed(kept)
    since = (
        datetime.fromisoformat(resource.created).timestamp() if resource.created else 0
    )  # it may have had a namesake
    told_of = ((outcome, getattr(seen, outcome)) for outcome in _OUTCOMES)
    last = {outcome: one for outcome, one in told_of if one is not None and one.at >= since}
    fields = {outcome: _entry(kept.get(_OUTCOMES[outcome], {}), one, now) for outcome, one in last.items()}
    told = kept | {_OUTCOMES[outcome]: entry for outcome, entry in fields.items()}
    if not last:
        return Observed(told)
    outcome = max(last, key=lambda name: (last[name].at, list(_OUTCOMES).index(name)))
    found = fields[outcome]["code"], fields[outcome]["message"]
    return Observed(told, "Delivering", *(_dane(resource, outcome, *found) or _condition(outcome, *found)))


def _entry(old: Mapping[str, str], new: Delivery, now: datetime) -> dict[str, str]:
    """Write an outcome; one that says the same is written anew when the time in it is old."""
    told = {"time": f"{datetime.fromtimestamp(new.at, UTC):%Y-%m-%dT%H:%M:%SZ}", "code": new.code, "message": new.text}
    if not old.get("time"):
        return told
    same = (old.get("code"), old.get("message")) == (new.code, new.text) or new.code.startswith("2.")
    passed = now.timestamp() - datetime.fromisoformat(old["time"]).timestamp()
    return dict(old) if passed < (_RENEWED if same else _PAUSE) else told


def _dane(resource: Resource, outcome: str, code: str, text: str) -> tuple[bool, Reason, str] | None:
    """Tell why mail waits for a host that is to prove itself by TLSA records; nothing where that is not why."""
    spec = resource.spec
    if not isinstance(spec, RelayHostSpec) or spec.tls is not RelayHostTls.DANE or outcome != "deferred":
        return None
    said = f"{code} {text}"
    if code in {"4.4.3", "4.4.4"}:
        why = "its name is not found; a resolver that validates says that also of a name with a wrong signature"
        return False, Reason.DELIVERY_DEFERRED, f"Mail waits: {why}: {said}"
    cure = next((cure for words, cure in _CURES if words in text), None)
    if cure is None:
        return None
    cure = cure.format(record=f"_{_port(spec)}._tcp.{spec.host.lower()}")
    return False, Reason.TLS_FAILED, f"DANE (spec.tls) does not hold, so mail waits: {cure}: {said}"


def _condition(outcome: str, code: str, text: str) -> tuple[bool, Reason, str]:
    if outcome == "accepted":
        return True, Reason.DELIVERED, "The relay host accepted the last message."
    said = f"{code} {text}"
    if outcome == "refused":
        return False, Reason.DELIVERY_REFUSED, f"The last message was refused and has gone back to its sender: {said}"
    if text.startswith("SASL authentication failed"):
        cure = "correct the login in spec.credentialsSecret"
        return False, Reason.AUTHENTICATION_FAILED, f"The relay host takes no login, so mail waits; {cure}: {said}"
    if code in {"4.7.4", "4.7.5"}:
        cure = "look at its certificate, and at spec.tls and spec.caSecret"
        return False, Reason.TLS_FAILED, f"There is no TLS as spec.tls demands it, so mail waits; {cure}: {said}"
    return False, Reason.DELIVERY_DEFERRED, f"The last message waits and will be tried again: {said}"


RELAY_HOST: Final = KindRules(
    "RelayHost",
    supported=_SUPPORTED,
    secrets=_secrets,
    facts=_facts,
    observed=_observed,
    observed_conditions=("Delivering",),
    settle=_settle,
    part="relay_hosts",
    status_fields=(
        "conditions",
        "endpoint",
        "lastAccepted",
        "lastDeferred",
        "lastRefused",
        "observedGeneration",
        "senderCount",
    ),
)
