"""Names and references: what may be a name, how an international one is written, and what a wrong one says of itself.

Refused names are refused by field; a reference that leads nowhere is a condition of the object that makes it.
"""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
from imapclient import IMAPClient
from kubernetes.client import ApiException

from e2e.clients import SECONDS, Account, letter, wait_for_message
from e2e.kube import GROUP, Object
from e2e.platform import Platform, manifest
from e2e.post import SENDER, address, answer, copies, group, post, present, server_with, verdict


def refusal(platform: Platform, one: Object) -> str:
    """What the API server says to an object that it does not take."""
    with pytest.raises(ApiException) as caught:
        platform.kube.create(one)
    assert 400 <= caught.value.status < 500
    return str(json.loads(caught.value.body)["message"])


@pytest.mark.row("M1")
@pytest.mark.row("B3")
@pytest.mark.parametrize("name", ["jürgen", "a/b", "Alice", "jane+x", ".jane", "a..b", "o'brien", "x" * 65])
def test_a_user_name_of_other_characters_is_refused_by_field(platform: Platform, name: str) -> None:
    assert "spec.username" in refusal(platform, platform.mailbox("wrong-name", username=name))


@pytest.mark.row("M1")
@pytest.mark.row("B3")
@pytest.mark.parametrize("name", ["Alice", "jürgen", "a_b"])
def test_an_object_name_of_other_characters_is_refused_by_field(platform: Platform, name: str) -> None:
    assert "metadata.name" in refusal(platform, manifest("Mailbox", platform.namespace, name, {}))


@pytest.mark.row("A1")
def test_an_address_may_have_every_character_that_mail_allows(platform: Platform) -> None:
    locals_ = ("a/b", "o'brien", "x=y", "{c}|d?", "$&*^_`~-#")
    named = [address(platform, f"odd-{number}", "alice", localPart=one) for number, one in enumerate(locals_)]
    with present(platform, *named):
        messages = {local: post(platform, f"{local}@example.test") for local in locals_}
        for local, message in messages.items():
            assert copies(platform, message) == {"alice": 1}, local
        with platform.smtp() as session:
            assert answer(session, "a/c@example.test")[0] == 550


@pytest.mark.row("A1")
def test_what_cannot_be_a_local_part_is_refused_in_words(platform: Platform) -> None:
    wrong = {"x+y": "a +tag", "100%": "! and %", "up!on": "! and %", "#1": "! and %, and no # first"}
    named = [address(platform, f"wrong-{number}", "alice", localPart=one) for number, one in enumerate(wrong)]
    with present(platform, *named, ready=False):
        for one, what in zip(named, wrong.values(), strict=True):
            message = verdict(platform, "MailAddress", one["metadata"]["name"], "Invalid")
            assert message.startswith(f"spec.localPart: write the part before the @ without {what}"), message
        assert platform.answer("x+y@example.test") == 550


@pytest.mark.row("D1")
def test_what_is_no_address_is_refused_and_the_session_goes_on(platform: Platform, alice: Account) -> None:
    malformed = ("a b@example.test", "@example.test", "alice@", f"{'x' * 300}@example.test")
    foreign = ("alice@example..test", "alice@.example.test", "aliceexample.test", "alice@example.test@elsewhere.test")
    with platform.smtp() as outside, alice.submission() as inside:
        for session, sender, recipients in (
            (outside, SENDER, malformed + foreign),
            (inside, "alice@example.test", malformed),
        ):
            for recipient in recipients:
                code, text = answer(session, recipient, sender=sender)
                assert 500 <= code < 600, f"{recipient}: {code} {text}"
            assert answer(session, "alice@example.test", sender=sender)[0] == 250


@pytest.mark.row("A2")
@pytest.mark.row("M1")
def test_mail_in_unicode_arrives_once_whatever_the_spelling(platform: Platform, alice: Account) -> None:
    domain = manifest("MailDomain", platform.namespace, "idn", {"domain": "köln.test"})
    spellings = ("leser@köln.test", "leser@KÖLN.test", "leser@xn--kln-sna.test", "alice@köln.test")
    with present(platform, domain, address(platform, "readers", "alice", localPart="leser", domain="köln.test")):
        message = letter("stranger@outside.test", "leser@xn--kln-sna.test", subject="Grüße")
        with platform.smtp() as session:
            session.ehlo()
            options = ["SMTPUTF8", "BODY=8BITMIME"]
            assert not session.sendmail("fräulein@outside.test", spellings, message.as_bytes(), options)
        assert copies(platform, message) == {"alice": 1}
        for user in ("alice@köln.test", "alice@xn--kln-sna.test"):
            with IMAPClient(alice.hostname, 993, ssl=True, ssl_context=alice.context(), timeout=SECONDS) as imap:
                imap.plain_login(user, alice.password)
                assert imap.folder_exists("INBOX")
        assert _submits(replace(alice, user="alice@köln.test"))


def _submits(account: Account) -> bool:
    """Whether a login for submission is taken, by a name beyond ASCII too."""
    response = base64.b64encode(f"\0{account.user}\0{account.password}".encode()).decode()
    with account.secure() as session:
        session.ehlo()
        return session.docmd("AUTH PLAIN", response)[0] == 235


@pytest.mark.row("B1")
@pytest.mark.row("B3")
def test_a_reference_that_leads_nowhere_is_named_and_harms_nothing_else(platform: Platform) -> None:
    owners = [{"name": "ghost"}, {"name": "shelf"}, {"name": "alice", "rights": "Read"}]
    shelf = manifest("Mailbox", platform.namespace, "shelf", {"type": "Public"})
    owned = manifest("Mailbox", platform.namespace, "owned", {"type": "Public", "owners": owners})
    wrong = (owned, group(platform, "half-full", "ghost", "bob"))
    with present(platform, shelf), present(platform, *wrong, ready=False):
        said = verdict(platform, "Mailbox", "owned", "UnknownMailbox")
        assert said.startswith("spec.owners[0].name: there is no Mailbox ghost"), said
        assert verdict(platform, "Mailbox", "half-full", "UnknownMailbox").startswith("spec.members[0]: ")
        assert copies(platform, post(platform, "owned@example.test", "half-full@example.test")) == {
            "owned": 1,
            "bob": 1,
        }
        platform.kube.patch(GROUP, "Mailbox", platform.namespace, "owned", {"spec": {"owners": owners[1:]}})
        said = verdict(platform, "Mailbox", "owned", "Invalid")
        assert said.startswith("spec.owners[0].name: Mailbox shelf is public and cannot own mail"), said
        platform.kube.patch(GROUP, "Mailbox", platform.namespace, "owned", {"spec": {"owners": owners[2:]}})
        verdict(platform, "Mailbox", "owned", "Accepted")


@pytest.mark.row("B3")
def test_a_postmaster_who_is_reached_as_the_postmaster_is_named_and_harms_nothing_else(platform: Platform) -> None:
    with server_with(platform, ready=False, postmaster={"address": "postmaster@example.test"}):
        said = verdict(platform, "MailServer", platform.name, "UnknownMailbox")
        assert said.startswith("spec.postmaster.address: postmaster@example.test leads back to itself"), said
        assert platform.answer("postmaster@example.test") == 550
        account = platform.add_mailbox()
        assert platform.answer(f"{account.user}@example.test") == 250, "changes go on"
        platform.remove_mailbox(account.user)


@pytest.mark.row("D3")
@pytest.mark.row("B3")
def test_what_has_no_meaning_in_a_relayed_domain_says_so(platform: Platform) -> None:
    relay = {"delivery": "Relay", "relay": {"host": "mx.relayed.test"}}
    caught = {**relay, "unknownRecipients": {"action": "Deliver", "mailbox": "alice"}}
    message = refusal(platform, manifest("MailDomain", platform.namespace, "handed.test", caught))
    assert "leave out unknownRecipients with delivery Relay" in message
    assert "spec.unknownRecipients" in message
    with present(platform, manifest("MailDomain", platform.namespace, "handed.test", relay)):
        assert platform.kube.columns("MailDomain", platform.namespace, "handed.test")["Delivery"] == "Relay"
        with present(platform, address(platform, "inside", "alice", domain="handed.test"), ready=False):
            said = verdict(platform, "MailAddress", "inside", "DomainNotFound")
            assert said.startswith("spec.domain: another server has all addresses of handed.test"), said


@pytest.mark.row("M7")
@pytest.mark.row("B3")
@pytest.mark.parametrize("value", ["2 GB", "1Xi", "much"])
def test_a_default_quota_of_no_known_unit_is_refused_by_name(platform: Platform, value: str) -> None:
    with pytest.raises(ApiException) as caught, server_with(platform, mailboxes={"quota": value}):
        pass
    assert 400 <= caught.value.status < 500
    assert "spec.mailboxes.quota" in json.loads(caught.value.body)["message"]


SHARP = {"ß": "straße.test", "capital": "STRAẞE.test"}


@pytest.mark.row("A2")
@pytest.mark.row("D1")
@pytest.mark.parametrize("foreign", SHARP.values(), ids=SHARP.keys())
def test_a_domain_that_only_looks_alike_when_folded_is_foreign(
    platform: Platform, alice: Account, foreign: str
) -> None:
    """One may belong to somebody else (UTS 46, nontransitional): his mail is not ours to take."""
    with present(platform, manifest("MailDomain", platform.namespace, "folded", {"domain": "strasse.test"})):
        with platform.smtp() as outside, alice.submission() as inside:
            assert answer(outside, "alice@strasse.test", "SMTPUTF8")[0] == 250
            for session in (outside, inside):
                code, text = answer(session, f"alice@{foreign}", "SMTPUTF8", sender="alice@example.test")
                assert 550 <= code < 560, f"{code} {text}"
        assert not _submits(replace(alice, user=f"alice@{foreign}"))


@pytest.mark.row("A2")
@pytest.mark.row("M1")
def test_a_domain_with_a_sharp_s_is_served_beside_the_other_one(platform: Platform, alice: Account) -> None:
    sharp = manifest("MailDomain", platform.namespace, "sharp", {"domain": "straße.test"})
    folded = manifest("MailDomain", platform.namespace, "folded", {"domain": "strasse.test"})
    only = (
        address(platform, "in-sharp", "alice", localPart="info", domain="straße.test"),
        address(platform, "in-folded", "bob", localPart="info", domain="strasse.test"),
    )
    with present(platform, sharp, folded, *only):
        for domain in ("straße.test", "STRAẞE.test", "xn--strae-oqa.test", "strasse.test"):
            message = letter("stranger@outside.test", "info@example.test", subject=domain)
            with platform.smtp() as session:
                session.ehlo()
                options = ["SMTPUTF8", "BODY=8BITMIME"]
                assert not session.sendmail("stranger@outside.test", [f"info@{domain}"], message.as_bytes(), options)
            assert copies(platform, message) == {"bob" if domain == "strasse.test" else "alice": 1}, domain
        assert _submits(replace(alice, user="alice@straße.test"))


@pytest.mark.row("D8")
@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("köln.test", "xn--kln-sna"),
        ("KÖLN.test", "xn--kln-sna"),
        ("xn--kln-sna.test", "xn--kln-sna"),
        ("straße.test", "xn--strae-oqa"),
    ],
)
def test_mail_is_signed_for_a_domain_in_any_script(
    platform: Platform, alice: Account, bob: Account, written: str, label: str
) -> None:
    with present(platform, manifest("MailDomain", platform.namespace, label, {"domain": f"{label}.test"})):
        message = letter("alice@example.test", "bob@example.test", subject="Signed in any script")
        text = message.as_bytes().replace(b"From: alice@example.test", f"From: alice@{written}".encode())
        with alice.submission() as session:
            session.ehlo()
            options = ["SMTPUTF8", "BODY=8BITMIME"]
            session.sendmail(f"alice@{label}.test", ["bob@example.test"], text, options)
        stored = wait_for_message(bob, message["Message-ID"])
    assert f"d={label}.test;".encode() in stored
