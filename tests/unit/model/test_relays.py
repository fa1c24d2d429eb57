"""Domains that are handed to one server: each in its own way, whatever another one asks for or lacks."""

import re
from collections.abc import Mapping
from dataclasses import replace

import pytest

from postboat.api import Resource
from postboat.controller.reconcile import certificates
from postboat.model.relays import MOST_AUTHORITIES, MOST_BYTES
from postboat.model.resolve import Resolution, Resolver, resolve
from postboat.model.snapshot import Gone, SecretContent
from postboat.model.verdict import Reason, Verdict
from postboat.render.files import Files
from postboat.render.template import ACTIVE
from postboat.render.units import render
from tests.golden import world
from tests.golden.rows import table_rows

OWN = {content.name: content for content in (world.internal("mail", "mail"), world.self_signed("mail", "mail"))}
FIRST, SECOND = world.key("ca.crt"), world.key("tls.crt")
UNVERIFIABLE = f"secure match=nexthop tafile={ACTIVE}/ca.pem"
TOLD = " servername=nexthop"
TLS = {"None": "none", "Opportunistic": "may", "Required": "encrypt", "Verified": "secure match=nexthop"}


def domain(name: str, day: int, tls: str = "Verified", authority: str = "", **relay: object) -> Resource:
    asked = {"host": "mx.example.com", "tls": tls, **relay}
    if authority:
        asked["caSecret"] = {"name": authority, "key": "ca.crt"}
    return world.resource("MailDomain", name, _relayed(asked), f"2026-01-{day:02d}T00:00:00Z")


def _relayed(relay: dict[str, object]) -> dict[str, object]:
    return {"delivery": "Relay", "relay": relay, "dkim": {"enabled": False}}


def authority(name: str, content: bytes | None) -> SecretContent:
    return SecretContent("mail", name, content is not None, {"ca.crt": content} if content is not None else {})


def resolver(*domains: Resource, **authorities: bytes) -> Resolver:
    secrets = OWN | {name: authority(name, content) for name, content in authorities.items()}
    return Resolver(world.of(world.server(), domains, secrets))


def rendered(resolution: Resolution) -> Files:
    assert resolution.platform is not None
    return render(resolution.platform)


def verdict(resolution: Resolution, name: str) -> Verdict:
    return resolution.verdicts["MailDomain", name]


def trusted(policy: str, files: Files) -> tuple[str, bytes]:
    """Give a policy without the file that it names, and what that holds."""
    level, _, path = policy.partition(f" tafile={ACTIVE}/relay-")
    held = {file.key: file.content for file in files.units["smtp"]}
    return level, held[f"relay-{path}"] if path else b""


def policies(resolution: Resolution) -> dict[str, tuple[str, bytes]]:
    """Follow each relayed domain as Postfix does: to its next hop, and by the text of that to the policy."""
    files = rendered(resolution)
    known = rows(files, "tlspolicies")
    assert len(dict(known)) == len(known), "of two policies for one next hop one would be lost"
    hops = next_hops(files)
    for hop in hops.values():
        host, _, port = hop.rpartition(":")
        assert (host, int(port)) == ("[mx.example.com]", 25), "whatever the way, it is the same server"
    return {name: trusted(untold(policy_of(files, dict(known), hop)), files) for name, hop in hops.items()}


def untold(policy: str) -> str:
    """Give a policy without what a server that has a name is told (SNI)."""
    assert policy == "none" or policy.endswith(TOLD)
    return policy.removesuffix(TOLD)


def rows(files: Files, wanted: str) -> list[tuple[str, str]]:
    return [(row[0], row[1]) for _, table, row in table_rows(files.shards) if table == wanted]


def next_hops(files: Files) -> dict[str, str]:
    return {key: value.removeprefix("relay:") for key, value in rows(files, "transports")}


def policy_of(files: Files, known: Mapping[str, str], hop: str) -> str:
    """Look the policy of a next hop up in all tables of main.cf, with these rows."""
    (main,) = (file.content.decode() for file in files.units["smtp"] if file.key == "main.cf")
    (tables,) = re.findall(r"^smtp_tls_policy_maps = (.+)$", main, re.MULTILINE)
    found = (look_up(table, hop, known) for table in apart(tables.replace("$$", "$")))
    return next(policy for policy in found if policy)


def look_up(table: str, key: str, known: Mapping[str, str]) -> str:
    """Look a key up in a table of Postfix; nothing is found where the answer is empty."""
    kind, _, content = table.partition(":")
    if kind == "lmdb":
        return known.get(key, "")
    if kind == "regexp":
        found = ((re.search(pattern, key), result) for pattern, result in re.findall(r"\{ /(.+?)/ (.+?) \}", content))
        return next((match.expand(result.replace("$1", r"\1")) for match, result in found if match), "")
    for one in apart(content[1:-1]):
        key = look_up(one, key, known) if key else ""
    return key


def apart(tables: str) -> list[str]:
    """Take tables apart at the commas that stand in no braces."""
    depth, found = 0, [""]
    for character in tables:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and not depth:
            found.append("")
        else:
            found[-1] += character
    return [table.strip() for table in found]


def authorities(resolution: Resolution) -> list[bytes]:
    return [file.content for file in rendered(resolution).units["smtp"] if file.key.startswith("relay-")]


@pytest.mark.parametrize("older", TLS)
@pytest.mark.parametrize("younger", TLS)
def test_two_domains_reach_one_server_each_as_it_asks(older: str, younger: str) -> None:
    found = resolver(domain("a.test", 1, older), domain("b.test", 2, younger)).resolution
    assert policies(found) == {"a.test": (TLS[older], b""), "b.test": (TLS[younger], b"")}
    assert verdict(found, "a.test").reason is verdict(found, "b.test").reason is Reason.ACCEPTED


def test_a_changed_way_is_that_of_one_domain() -> None:
    followed = resolver(domain("a.test", 1, "Opportunistic"), domain("b.test", 2, "Opportunistic"))
    found = followed.apply([domain("a.test", 1, "Required")])
    assert policies(found) == {"a.test": ("encrypt", b""), "b.test": ("may", b"")}
    found = followed.apply([domain("b.test", 2, "Required")])
    assert policies(found) == {"a.test": ("encrypt", b""), "b.test": ("encrypt", b"")}
    assert all(verdict(found, name).accepted for name in ("a.test", "b.test"))


def test_a_lost_authority_is_lost_to_its_own_domain() -> None:
    followed = resolver(
        domain("a.test", 1, authority="a-ca"), domain("b.test", 2, authority="b-ca"), **{"a-ca": FIRST, "b-ca": FIRST}
    )
    both = {"a.test": (TLS["Verified"], FIRST), "b.test": (TLS["Verified"], FIRST)}
    assert policies(followed.resolution) == both
    assert authorities(followed.resolution) == [FIRST], "equal ones are one file"
    found = followed.apply([authority("a-ca", None)])
    assert policies(found) == {"a.test": (UNVERIFIABLE, b""), "b.test": both["b.test"]}
    lost = verdict(found, "a.test")
    assert (lost.reason, lost.path, lost.effective) == (Reason.SECRET_NOT_FOUND, "spec.relay.caSecret", True)
    assert verdict(found, "b.test").accepted
    assert policies(followed.apply([authority("a-ca", FIRST)])) == both


def test_three_domains_trust_one_server_by_what_each_of_them_says() -> None:
    three = (
        domain("a.test", 1, authority="a-ca"),
        domain("b.test", 2, authority="b-ca"),
        domain("c.test", 3),
    )
    followed = resolver(*three, **{"a-ca": FIRST, "b-ca": SECOND})
    expected = {name: (TLS["Verified"], content) for name, content in zip("abc", (FIRST, SECOND, b""), strict=True)}
    expected = {f"{name}.test": policy for name, policy in expected.items()}
    assert policies(followed.resolution) == expected
    other = resolve(
        world.of(
            world.server(),
            three[::-1],
            OWN | {name: authority(name, content) for name, content in (("a-ca", FIRST), ("b-ca", SECOND))},
        )
    )
    assert policies(other) == expected
    assert rendered(other).shards == rendered(followed.resolution).shards
    found = followed.apply([Gone("MailDomain", "a.test")])
    assert policies(found) == {name: policy for name, policy in expected.items() if name != "a.test"}
    found = followed.apply([authority("b-ca", b"no certificate")])
    assert policies(found) == {"b.test": (UNVERIFIABLE, b""), "c.test": (TLS["Verified"], b"")}


@pytest.mark.parametrize("tls", TLS)
def test_mail_that_still_has_its_old_next_hop_leaves_no_less_protected(tls: str) -> None:
    """It has one from the moment that it is tried; the domain may change, and its row go, before it leaves."""
    before = rendered(resolver(domain("a.test", 1, tls, "a-ca"), **{"a-ca": FIRST}).resolution)
    after = rendered(resolver().resolution)
    assert rows(after, "tlspolicies") == []
    left = policy_of(after, {}, next_hops(before)["a.test"])
    assert untold(left) == (UNVERIFIABLE if tls == "Verified" else TLS[tls])


def test_certificates_are_not_waited_for_where_nothing_is_verified() -> None:
    found = resolver(
        domain("a.test", 1, "Required", "a-ca"), domain("b.test", 2, "Required", "b-ca"), **{"b-ca": FIRST}
    )
    assert policies(found.resolution) == dict.fromkeys(("a.test", "b.test"), ("encrypt", b""))
    assert authorities(found.resolution) == []
    assert verdict(found.resolution, "a.test").reason is Reason.SECRET_NOT_FOUND


def _bundle(certificate: bytes, size: int) -> bytes:
    return certificate * (size // len(certificate))


def test_certificates_beyond_what_one_secret_can_hold_are_told_by_the_youngest() -> None:
    large, larger = _bundle(FIRST, MOST_BYTES // 2), _bundle(SECOND, MOST_BYTES // 2)
    four = [domain(f"{name}.test", day, authority=f"{name}-ca") for day, name in enumerate("abcd", 1)]
    held = {"a-ca": large, "b-ca": larger, "c-ca": _bundle(FIRST, MOST_BYTES // 3), "d-ca": large}
    followed = resolver(*four, **held)
    found = followed.resolution
    assert sum(len(content) for content in authorities(found)) <= MOST_BYTES
    assert policies(found) == {
        "a.test": (TLS["Verified"], large),
        "b.test": (TLS["Verified"], larger),
        "c.test": (UNVERIFIABLE, b""),
        "d.test": (TLS["Verified"], large),
    }
    said = verdict(found, "c.test")
    assert (said.reason, said.path, said.effective) == (Reason.TOO_LARGE, "spec.relay.caSecret", True)
    assert "state only the authority that signed the certificate of mx.example.com" in said.message
    assert all(verdict(found, f"{name}.test").accepted for name in "abd")
    found = followed.apply([authority("b-ca", SECOND)])
    assert policies(found)["c.test"] == (TLS["Verified"], held["c-ca"]), "now there is room"


def test_nothing_but_certificates_is_copied_from_the_secret_of_a_relay() -> None:
    """A Secret of type kubernetes.io/tls may hold the key beside the chain, and a bundle has comments."""
    private = world.key("tls.key")
    mixed = b"# of the relay\n" + private + SECOND + private + FIRST
    found = resolver(domain("a.test", 1, authority="a-ca"), **{"a-ca": mixed}).resolution
    assert authorities(found) == [SECOND + FIRST]


def test_the_number_of_authorities_for_one_server_ends_before_its_next_hop_is_too_long() -> None:
    host = ".".join(["x" * 60] * 4)
    names = [f"d{number:03d}" for number in range(MOST_AUTHORITIES + 1)]
    domains = [replace(domain(f"{name}.test", 1, authority=name, host=host, port=65535), uid=name) for name in names]
    distinct = {name: certificates.authority(name, world.NOW).certificate for name in names}
    found = resolver(*domains, **distinct).resolution
    refused = [name for name in names if not verdict(found, f"{name}.test").accepted]
    assert refused == names[-1:]
    assert verdict(found, f"{refused[0]}.test").reason is Reason.TOO_LARGE
    hops = set(next_hops(rendered(found)).values())
    assert len(hops) == MOST_AUTHORITIES + 1
    assert max(map(len, hops)) < 511, "the longest key of LMDB"


@pytest.mark.parametrize(
    ("host", "named"),
    [
        ("mx.example.com", True),
        ("MX.Example.COM", True),
        ("mx", True),
        ("1.2.3.4.x5", True),
        ("192.0.2.7", False),
        ("2001:db8::a", False),
        ("::ffff", False),
    ],
)
@pytest.mark.parametrize("tls", TLS)
@pytest.mark.parametrize("trusted_by", ["", "a-ca", "missing"])
def test_a_server_is_told_its_name_and_no_address(host: str, named: bool, tls: str, trusted_by: str) -> None:  # noqa: FBT001
    """Of several servers at one address, each has its own certificate (SNI, RFC 6066)."""
    found = resolver(domain("a.test", 1, tls, trusted_by, host=host), **{"a-ca": FIRST})
    files = rendered(found.resolution)
    policy = policy_of(files, dict(rows(files, "tlspolicies")), next_hops(files)["a.test"])
    assert policy.endswith(TOLD) == (named and tls != "None")
    assert policy.startswith(TLS[tls])
