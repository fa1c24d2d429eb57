"""Domains: which are accepted, where their mail goes, what survives their deletion, and how their mail is signed.

The cases share one platform; what a case deletes it puts back.
"""

from __future__ import annotations

import base64
import secrets
import smtplib

import pytest

from e2e.clients import Account, letter, rcpt, refused, wait_for_message
from e2e.kube import GROUP, Object, eventually
from e2e.platform import Platform, manifest, password_secret
from e2e.post import address, answer, copies, drained, group, older, post, present, queue, verdict
from e2e.signatures import verified
from e2e.world import World


@pytest.mark.row("D1")
def test_every_domain_is_accepted_and_no_other(platform: Platform) -> None:
    with platform.smtp() as session:
        for domain in platform.domains:
            assert rcpt(session, f"alice@{domain}")[0] == 250
        for foreign in ("elsewhere.test", "sub.example.test", "example.test.elsewhere.test"):
            code, text = rcpt(session, f"alice@{foreign}")
            assert code == 554, text
            assert "5.7.1" in text


@pytest.mark.row("D1")
def test_a_new_domain_counts_for_every_user(platform: Platform, alice: Account) -> None:
    platform.kube.apply(manifest("MailDomain", platform.namespace, "later.test", {"delivery": "Local"}))
    try:
        platform.kube.wait_condition("MailDomain", platform.namespace, "later.test", "Ready")
        message = letter("stranger@outside.test", "alice@later.test")
        with platform.smtp() as session:
            session.send_message(message)
        wait_for_message(alice, message["Message-ID"])
    finally:
        platform.kube.delete(GROUP, "MailDomain", platform.namespace, "later.test")
    eventually(lambda: platform.answer("alice@later.test") == 554, "the deleted domain is refused")


@pytest.mark.row("D2")
def test_mail_is_delivered_to_a_maildir(platform: Platform, alice: Account) -> None:
    message = letter("stranger@outside.test", "alice@example.test", body="Ünïcödé text\n.leading dot\n")
    with platform.smtp() as session:
        session.send_message(message)
    stored = wait_for_message(alice, message["Message-ID"])
    assert b"leading dot" in stored
    grep = ["grep", "-rlF", "--exclude=dovecot*", message["Message-ID"], "/srv/mail/alice/Maildir"]
    found = [
        platform.kube.exec(platform.namespace, pod["metadata"]["name"], "dovecot", grep)
        for pod in platform.kube.pods(platform.namespace, "store", platform.name)
    ]
    assert sum(text.count("/Maildir/") for text in found) == 1, found


@pytest.mark.row("D4")
def test_a_deleted_domain_keeps_its_mail(platform: Platform, alice: Account) -> None:
    kept = manifest("MailDomain", platform.namespace, "kept.test", {"delivery": "Local"})
    platform.kube.apply(kept)
    platform.kube.wait_condition("MailDomain", platform.namespace, "kept.test", "Ready")
    message = letter("stranger@outside.test", "alice@kept.test")
    with platform.smtp() as session:
        session.send_message(message)
    wait_for_message(alice, message["Message-ID"])
    platform.kube.delete(GROUP, "MailDomain", platform.namespace, "kept.test")
    eventually(lambda: platform.answer("alice@kept.test") == 554, "the deleted domain is refused")
    wait_for_message(alice, message["Message-ID"])
    platform.kube.apply(kept)
    platform.kube.wait_condition("MailDomain", platform.namespace, "kept.test", "Ready")
    wait_for_message(alice, message["Message-ID"])
    platform.kube.delete(GROUP, "MailDomain", platform.namespace, "kept.test")


@pytest.mark.row("D8")
@pytest.mark.parametrize("port", [587, 465])
def test_submitted_mail_is_signed(platform: Platform, alice: Account, bob: Account, port: int) -> None:
    message = letter("alice@example.test", "bob@example.org", subject="Signed")
    with alice.submission(port) as session:
        session.send_message(message)
    stored = wait_for_message(bob, message["Message-ID"])
    assert b"d=example.test" in stored
    assert b"s=default" in stored
    assert verified(platform, "example.test", stored)


@pytest.mark.row("D8")
def test_mail_from_port_25_is_not_signed(platform: Platform, bob: Account) -> None:
    message = letter("alice@example.test", "bob@example.org", subject="Not signed")
    with platform.smtp() as session:
        session.send_message(message, from_addr="stranger@outside.test")
    assert b"DKIM-Signature" not in wait_for_message(bob, message["Message-ID"])


@pytest.mark.row("D8")
def test_a_given_key_is_used_and_a_broken_one_is_refused(platform: Platform, alice: Account, bob: Account) -> None:
    good = platform.kube.secret(platform.namespace, "example.test-dkim")["default.key"].decode()
    name = platform.namespace
    secret = password_secret(name, "own-dkim", {"mine.key": "no key at all"})
    domain = manifest(
        "MailDomain", name, "own.test", {"delivery": "Local", "dkim": {"secretName": "own-dkim", "selector": "mine"}}
    )
    platform.kube.apply(secret, domain)
    try:
        refusal = platform.kube.wait_condition("MailDomain", name, "own.test", "Accepted", "False")
        assert "own-dkim" in refusal["message"]
        assert "no key at all" not in refusal["message"]
        platform.kube.apply(password_secret(name, "own-dkim", {"mine.key": good}))
        platform.kube.wait_condition("MailDomain", name, "own.test", "Ready")
        message = letter("alice@own.test", "bob@example.org")
        with alice.submission() as session:
            session.send_message(message)
        stored = wait_for_message(bob, message["Message-ID"])
        assert b"s=mine" in stored
        assert verified(platform, "own.test", stored)
    finally:
        platform.kube.delete(GROUP, "MailDomain", name, "own.test")
        platform.kube.delete("v1", "Secret", name, "own-dkim")


@pytest.mark.row("D8")
def test_a_key_whose_secret_was_deleted_goes_on_signing(platform: Platform, alice: Account, bob: Account) -> None:
    name, domain = platform.namespace, "lost.test"
    platform.kube.apply(manifest("MailDomain", name, domain, {"delivery": "Local"}))
    platform.kube.wait_condition("MailDomain", name, domain, "Ready")
    record = (platform.kube.get(GROUP, "MailDomain", name, domain) or {})["status"]["dkim"]
    key = platform.kube.secret(name, f"{domain}-dkim")["default.key"].decode()
    try:
        platform.kube.delete("v1", "Secret", name, f"{domain}-dkim")
        told = platform.kube.wait_condition("MailDomain", name, domain, "Ready", "False")
        assert told["reason"] == "SecretNotFound"
        assert f"{domain}-dkim" in told["message"]
        message = letter(f"alice@{domain}", "bob@example.org", subject="Still signed")
        with alice.submission() as session:
            session.send_message(message)
        assert verified(platform, domain, wait_for_message(bob, message["Message-ID"]))
        assert platform.kube.get("v1", "Secret", name, f"{domain}-dkim") is None
        platform.kube.apply(password_secret(name, f"{domain}-dkim", {"default.key": key}))
        platform.kube.wait_condition("MailDomain", name, domain, "Ready")
        assert (platform.kube.get(GROUP, "MailDomain", name, domain) or {})["status"]["dkim"] == record
    finally:
        platform.kube.delete(GROUP, "MailDomain", name, domain)
        platform.kube.delete("v1", "Secret", name, f"{domain}-dkim")


@pytest.mark.row("D8")
def test_the_record_of_the_status_is_the_public_key(platform: Platform) -> None:
    found = platform.kube.get(GROUP, "MailDomain", platform.namespace, "example.test")
    assert found is not None
    parts = dict(part.strip().split("=", 1) for part in found["status"]["dkim"]["record"].split(";") if part.strip())
    assert parts["v"] == "DKIM1"
    assert len(base64.b64decode(parts["p"], validate=True)) > 250, "an RSA key of 2048 bits"


@pytest.mark.row("D1")
def test_an_unknown_recipient_is_refused_at_rcpt(platform: Platform, alice: Account) -> None:
    with platform.smtp() as session:
        code, text = rcpt(session, "nobody@example.test")
        assert code == 550, text
        assert "5.1.1" in text
    with alice.submission() as session, pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
        session.send_message(letter("alice@example.test", "nobody@example.test"))
    assert refused(caught.value)[0] == 550


@pytest.mark.row("D6")
def test_a_catch_all_takes_unknown_names_and_no_other(platform: Platform, bob: Account) -> None:
    catcher = platform.add_mailbox().user
    plain, moved = platform.add_mailbox(address="Disabled").user, platform.add_mailbox().user
    unknown = {"unknownRecipients": {"action": "Deliver", "mailbox": catcher}}
    with present(
        platform,
        manifest("MailDomain", platform.namespace, "open.test", unknown),
        group(platform, "closed-group", "bob", address="Disabled"),
        group(platform, "open-group", "bob"),
        address(platform, "known", moved),
    ):
        for recipient in ("whoever@open.test", "who.ever+tag@OPEN.test", f"not-{moved}@open.test"):
            assert copies(platform, post(platform, recipient)) == {catcher: 1}
        for recipient, owner in (("alice", "alice"), ("open-group", "bob"), ("known", moved), (moved, moved)):
            assert copies(platform, post(platform, f"{recipient}@open.test")) == {owner: 1}
        with platform.smtp() as session:
            for name in ("closed-group", plain, f"{plain}+tag"):
                code, text = answer(session, f"{name}@open.test")
                assert (code, "5.1.1" in text) == (550, True), "a name that exists is not unknown"
            assert answer(session, "whoever@example.test")[0] == 550, "in another domain it is"
        message = letter("bob@example.test", "an-insider-guesses@open.test")
        with bob.submission() as session:
            session.send_message(message)
        assert copies(platform, message) == {catcher: 1}
        platform.kube.apply(platform.mailbox(plain, internal=True))
        with present(platform, address(platform, "leads-nowhere", "ghost"), ready=False):
            verdict(platform, "MailAddress", "leads-nowhere", "UnknownMailbox")
            platform.kube.wait_condition("Mailbox", platform.namespace, plain, "Ready")
            eventually(lambda: platform.answer(f"{plain}@open.test") == 554, "an internal user is no unknown one")
            eventually(lambda: platform.answer("leads-nowhere@open.test") == 550, "nor an address that leads to nobody")
        platform.remove_mailbox(catcher)
        assert "spec.unknownRecipients.mailbox" in verdict(platform, "MailDomain", "open.test", "UnknownMailbox")
        eventually(lambda: platform.answer("whoever@open.test") == 550, "nobody takes unknown names any more")
    for user in (plain, moved):
        platform.remove_mailbox(user)


@pytest.mark.row("D6")
def test_a_catch_all_may_be_a_group_or_a_public_mailbox(platform: Platform) -> None:
    def unknown(mailbox: str) -> dict[str, object]:
        spec = {"unknownRecipients": {"action": "Deliver", "mailbox": mailbox}}
        return manifest("MailDomain", platform.namespace, "caught.test", spec)

    with present(
        platform,
        group(platform, "catchers", "alice", "bob", address="Disabled"),
        manifest("Mailbox", platform.namespace, "lost-and-found", {"type": "Public"}),
        unknown("catchers"),
    ):
        assert copies(platform, post(platform, "whoever@caught.test")) == {"alice": 1, "bob": 1}
        platform.kube.apply(unknown("lost-and-found"))
        platform.kube.wait_condition("MailDomain", platform.namespace, "caught.test", "Ready")
        assert copies(platform, post(platform, "whoever@caught.test")) == {"lost-and-found": 1}


@pytest.mark.row("D4")
@pytest.mark.row("A2")
def test_a_domain_goes_and_comes_with_its_addresses(platform: Platform) -> None:
    domain = manifest("MailDomain", platform.namespace, "passing.test", {})

    def count() -> int:
        found = platform.kube.get(GROUP, "MailAddress", platform.namespace, "widely")
        assert found is not None
        return int(found["status"]["addressCount"])

    def answers(count: int) -> set[int]:
        return {platform.answer("narrowly@passing.test") for _ in range(count)}

    with present(
        platform,
        domain,
        address(platform, "narrowly", "alice", domain="passing.test"),
        address(platform, "widely", "bob"),
    ):
        assert platform.kube.columns("MailDomain", platform.namespace, "passing.test")["Delivery"] == "Local"
        before = len(platform.domains) + 1
        eventually(lambda: count() == before, "the address is in all domains")
        platform.kube.delete(GROUP, "MailDomain", platform.namespace, "passing.test")
        assert "spec.domain" in verdict(platform, "MailAddress", "narrowly", "DomainNotFound")
        assert "passing.test" in verdict(platform, "MailAddress", "narrowly", "DomainNotFound")
        eventually(lambda: count() == before - 1, "the address in all domains is in one less")
        platform.kube.wait_condition("MailAddress", platform.namespace, "widely", "Ready")
        eventually(lambda: platform.answer("narrowly@passing.test") == 554, "the domain is foreign")
        assert answers(5) == {554}, "and so say all processes"
        assert platform.answer("widely@example.test") == 250
        platform.kube.apply(domain)
        platform.kube.wait_condition("MailAddress", platform.namespace, "narrowly", "Ready")
        eventually(lambda: count() == before, "the address in all domains is in this one too")
        assert answers(10) == {250}, "none remembers that it was not"
        message = post(platform, "narrowly@passing.test", "widely@passing.test")
        assert copies(platform, message) == {"alice": 1, "bob": 1}


@pytest.mark.row("D3")
def test_two_domains_are_handed_to_one_server_each_as_it_asks(platform: Platform, world: World) -> None:
    """What one of them asks for, lacks or changes is nothing to the other."""
    other = world.start_peer("mx.shared.test", ports=(2525,), tls=True)
    world.zones.publish("shared.test", {"mx": [f"A {other.address}"]})
    authorities = {f"{name}-ca": other.authority.read_text() for name in ("older", "younger")}

    def domain(name: str, tls: str, authority: str = "") -> Object:
        relay: dict[str, object] = {"host": "mx.shared.test", "port": 2525, "tls": tls}
        if authority:
            relay["caSecret"] = {"name": authority, "key": "ca.crt"}
        return manifest("MailDomain", platform.namespace, f"{name}.shared.test", {"delivery": "Relay", "relay": relay})

    def ready(*names: str) -> None:
        for name in names:
            platform.kube.wait_condition("MailDomain", platform.namespace, f"{name}.shared.test", "Ready")

    def unknown(name: str) -> str:
        """An address that the peer was not yet asked about: answers are remembered."""
        return f"{secrets.token_hex(4)}@{name}.shared.test"

    def arrived(name: str) -> str:
        """Tell how a message came that is for an address of a domain."""
        recipient = unknown(name)
        eventually(lambda: platform.answer(recipient) == 250, f"the peer takes mail for {recipient}")
        message = post(platform, recipient)
        (received,) = other.wait(where=lambda one: message["Message-ID"].encode() in one.content)
        return received.tls

    try:
        for name, text in authorities.items():
            platform.kube.apply(password_secret(platform.namespace, name, {"ca.crt": text}))
        with present(platform, domain("older", "Verified", "older-ca")):
            older(platform, "MailDomain", "older.shared.test")
            with present(platform, domain("younger", "Verified", "younger-ca")):
                ready("older", "younger")
                assert arrived("older")
                assert arrived("younger")
                platform.kube.delete("v1", "Secret", platform.namespace, "older-ca")
                assert "spec.relay.caSecret" in verdict(platform, "MailDomain", "older.shared.test", "SecretNotFound")
                eventually(lambda: platform.answer(unknown("older")) == 450, "its own mail waits")
                ready("younger")
                assert arrived("younger"), "the other domain has lost nothing"
                platform.kube.apply(domain("older", "None"))
                ready("older", "younger")
                assert not arrived("older"), "one in clear text, as it asks"
                assert arrived("younger"), "and one encrypted"
    finally:
        for name in authorities:
            platform.kube.delete("v1", "Secret", platform.namespace, name)
        world.zones.withdraw("shared.test")


@pytest.mark.row("D3")
def test_a_relay_is_told_its_name_and_no_address(platform: Platform, world: World) -> None:
    """Of several servers at one address, each has its own certificate (SNI, RFC 6066)."""
    other = world.start_peer("mx.named.test", ports=(2525,), tls=True, by_name=True)
    world.zones.publish("named.test", {"mx": [f"A {other.address}"]})
    platform.kube.apply(password_secret(platform.namespace, "named-ca", {"ca.crt": other.authority.read_text()}))
    asked: dict[str, dict[str, object]] = {
        "trusted": {"host": other.name, "tls": "Verified", "caSecret": {"name": "named-ca", "key": "ca.crt"}},
        "encrypted": {"host": other.name, "tls": "Required"},
        "usual": {"host": other.name},
        "address": {"host": other.address, "tls": "Required"},
    }
    relays: list[dict[str, object]] = [{"delivery": "Relay", "relay": {**one, "port": 2525}} for one in asked.values()]
    named = zip(asked, relays, strict=True)
    domains = [manifest("MailDomain", platform.namespace, f"{name}.named.test", spec) for name, spec in named]
    with present(platform, *domains):
        for name in asked:
            recipient = f"somebody@{name}.named.test"
            eventually(lambda: platform.answer(recipient) == 250, f"the peer takes mail for {recipient}")  # noqa: B023
            post(platform, recipient)
            (one,) = other.wait(where=lambda one: recipient in one.recipients)  # noqa: B023
            assert (bool(one.tls), one.asked) == (True, "" if name == "address" else other.name)
    platform.kube.delete("v1", "Secret", platform.namespace, "named-ca")
    world.zones.withdraw("named.test")


@pytest.mark.row("D3")
def test_a_relay_that_dns_does_not_know_loses_no_mail(platform: Platform) -> None:
    spec = {"delivery": "Relay", "relay": {"host": "misspelt.invalid"}}
    with present(platform, manifest("MailDomain", platform.namespace, "lost.test", spec)):
        eventually(lambda: platform.answer("somebody@lost.test") == 450, "whoever writes is asked to come again")


@pytest.mark.row("D3")
def test_a_relayed_domain_is_handed_to_its_server(platform: Platform, world: World) -> None:
    other = world.start_peer("mx.relayed.test", ports=(2525,), tls=True)
    world.zones.publish("relayed.test", {"mx": [f"A {other.address}"]})
    other.refuse("550 5.1.1 no such user", recipient="nobody@relayed.test")

    def relay(tls: str, **more: object) -> dict[str, object]:
        return manifest(
            "MailDomain",
            platform.namespace,
            "relayed.test",
            {"delivery": "Relay", "relay": {"host": "mx.relayed.test", "port": 2525, "tls": tls, **more}},
        )

    authority = {"name": "relayed-ca", "key": "ca.crt"}
    try:
        with present(platform, relay("Required")):
            eventually(lambda: platform.answer("somebody@relayed.test") == 250, "the peer is asked", timeout=90)
            message = post(platform, "somebody@relayed.test")
            (received,) = other.wait(where=lambda one: message["Message-ID"].encode() in one.content)
            assert received.recipients == ("somebody@relayed.test",)
            assert received.tls, "the connection was encrypted"
            eventually(lambda: platform.answer("nobody@relayed.test") == 550, "it knows who there is", timeout=90)
            with platform.smtp() as session:
                code, text = answer(session, "nobody@relayed.test")
                assert (code, "5.1.1" in text) == (550, True), text
                assert answer(session, "somebody@sub.relayed.test")[0] == 554
            eventually(lambda: platform.answer("alice@relayed.test") == 250, "it takes everybody else", timeout=90)
            message = post(platform, "alice@relayed.test")
            other.wait(where=lambda one: message["Message-ID"].encode() in one.content)
            assert copies(platform, message) == {}, "a user has no address in a domain of another server"
            platform.kube.apply(relay("Verified"))
            platform.kube.wait_condition("MailDomain", platform.namespace, "relayed.test", "Ready")
            eventually(lambda: platform.answer("third@relayed.test") == 450, "its certificate is nobody's")
            platform.kube.apply(relay("Verified", caSecret=authority))
            assert "spec.relay.caSecret" in verdict(platform, "MailDomain", "relayed.test", "SecretNotFound")
            secret = password_secret(platform.namespace, "relayed-ca", {"ca.crt": other.authority.read_text()})
            platform.kube.apply(secret)
            platform.kube.wait_condition("MailDomain", platform.namespace, "relayed.test", "Ready")
            eventually(lambda: platform.answer("fourth@relayed.test") == 250, "its certificate is right")
            other.drop(at="connect")
            code = eventually(lambda: platform.answer("later@relayed.test"), "an answer while it is away")
            assert code == 450
            known = post(platform, "fourth@relayed.test")
            eventually(lambda: "fourth@relayed.test" in queue(platform), "what is for a known recipient waits")
            other.accept()
            drained(platform)
            other.wait(where=lambda one: known["Message-ID"].encode() in one.content)
            other.stop()
            assert platform.answer("even-later@relayed.test") == 450
        eventually(lambda: platform.answer("somebody@relayed.test") == 554, "the domain is foreign again")
    finally:
        platform.kube.delete("v1", "Secret", platform.namespace, "relayed-ca")
        world.zones.withdraw("relayed.test")
