"""Mailboxes in one domain: several of one name, and mail, logins, rights and quotas of each that never mix.

Each case has people of its own: one in all domains, and two of the same name that are in one domain each.
"""

from __future__ import annotations

import base64
import imaplib
import json
import poplib
import secrets
import smtplib
from collections.abc import Callable, Mapping
from dataclasses import replace
from email.utils import parseaddr
from typing import Any

import pytest
from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientError
from kubernetes.client import ApiException

from e2e import folders
from e2e.clients import SECONDS, Account, letter, wait_for_message, wait_for_message_when_back
from e2e.kube import GROUP, eventually
from e2e.mailbox_state import FINALIZER, folder_there, mailbox, orphan, usage
from e2e.managesieve import ManageSieve, RefusedError, active_script
from e2e.namesakes import HERE, THERE, named, namesakes
from e2e.platform import Platform, manifest
from e2e.post import SENDER, address, answer, copies, older, post, present, verdict
from e2e.processes import frozen_agent
from e2e.world.peer import Peer


def unfit(call: Callable[[], object]) -> bool:
    """Whether a login is refused."""
    try:
        call()
    except (IMAPClientError, imaplib.IMAP4.error, poplib.error_proto, smtplib.SMTPException, RefusedError):
        return True
    return False


def refused(account: Account) -> bool:
    """Whether both edges refuse a login: once each, since who fails is made to wait."""
    return unfit(logins(account)["imap"]) and unfit(logins(account)["smtp"])


@pytest.mark.row("M15")
def test_each_gets_his_own_mail_and_nobody_elses(platform: Platform) -> None:
    with namesakes(platform) as people:
        for recipient, account in people.all.items():
            for written in (recipient, recipient.upper(), recipient.replace("@", "+tag@")):
                message = post(platform, written)
                assert copies(platform, message) == {account.user: 1}, written
                stored = wait_for_message(account, message["Message-ID"]).decode()
                assert f"X-Original-To: {written}" in stored
                assert f"Delivered-To: {recipient}" in stored
        together = post(platform, *people.all)
        assert copies(platform, together) == {account.user: 1 for account in people.all.values()}
        said = verdict(platform, "Mailbox", people.name, "Accepted")
        assert f"{people.name}@{HERE} (Mailbox {people.name}.here)" in said
        assert f"{people.name}@{THERE} (Mailbox {people.name}.there)" in said
        columns = platform.kube.columns("Mailbox", platform.namespace, f"{people.name}.here")
        assert columns["User"] == people.here.user


def logins(account: Account) -> Mapping[str, Callable[[], object]]:
    """All ways to log in."""
    return {
        "imap": lambda: account.imap().logout(),
        "pop3": lambda: account.pop3().quit(),
        "smtp": lambda: account.submission().quit(),
        "sieve": lambda: ManageSieve(account).login().close(),
    }


@pytest.mark.row("M15")
@pytest.mark.row("M2")
def test_a_login_opens_the_mailbox_of_that_name_and_no_other(platform: Platform) -> None:
    with namesakes(platform) as people:
        own = {people.name: people.general, **people.all}
        messages = {account.user: post(platform, recipient) for recipient, account in people.all.items()}
        for login, account in own.items():
            for way, call in logins(replace(account, user=login)).items():
                assert not unfit(call), f"{login} by {way}"
            wait_for_message(replace(account, user=login.upper()), messages[account.user]["Message-ID"])
            for other in {one.password for one in own.values()} - {account.password}:
                assert refused(replace(account, user=login, password=other)), (
                    f"{login} with the password of another one"
                )
        for strange in (f"{people.here.user}@{THERE}", f"{people.name}+tag@{HERE}", f"@{HERE}"):
            for password in (people.here.password, people.general.password):
                assert unfit(logins(replace(people.here, user=strange, password=password))["imap"]), strange


@pytest.mark.row("M15")
@pytest.mark.row("M2")
def test_who_may_not_log_in_leaves_his_name_to_nobody(platform: Platform) -> None:
    """Neither without the service, nor without a password, nor as a group is it the login of the one in all domains."""
    with namesakes(platform) as people:
        closed = dict.fromkeys(("imap", "pop3", "smtp", "sieve"), False)
        name = f"{people.name}.here"
        as_general = replace(people.here, password=people.general.password)
        for change in ({"access": closed}, {"access": None, "passwordSecret": None}):
            platform.kube.patch(GROUP, "Mailbox", platform.namespace, name, {"spec": change})
            platform.kube.wait_condition("Mailbox", platform.namespace, name, "Ready")
            for way, call in logins(people.here).items() if "passwordSecret" not in change else ():
                assert unfit(call), way
            assert refused(as_general), change
            assert not unfit(logins(people.general)["imap"])
        group = {"type": "Group", "username": people.name, "domain": people.third, "members": [people.name]}
        with present(platform, manifest("Mailbox", platform.namespace, f"{people.name}.group", group)):
            assert refused(replace(people.general, user=f"{people.name}@{people.third}"))
        eventually(
            lambda: not unfit(logins(replace(people.general, user=f"{people.name}@{people.third}"))["imap"]),
            "without the group the name in this domain is that of the one in all",
        )


def warnings(account: Account) -> list[str]:
    """To whom the warnings in a mailbox are addressed."""
    with account.imap() as session:
        session.select_folder("INBOX", readonly=True)
        found = session.fetch(session.search(["SUBJECT", "full"]), ["ENVELOPE"]).values()
    return [f"{to.mailbox.decode()}@{to.host.decode()}" for one in found for to in one[b"ENVELOPE"].to]


@pytest.mark.row("M15")
@pytest.mark.row("M7")
def test_a_full_mailbox_refuses_nobody_elses_mail(platform: Platform) -> None:
    with namesakes(platform, quota="40Ki") as people:
        heavy = letter(SENDER, people.here.user, body=("x" * 62 + "\n") * 900)
        with platform.smtp() as session:
            session.ehlo()
            session.mail(SENDER)
            assert session.rcpt(people.here.user)[0] == 250
            assert session.data(heavy.as_bytes())[0] == 250
        wait_for_message(people.here, heavy["Message-ID"])
        eventually(lambda: platform.answer(people.here.user) == 552, "a full mailbox is refused")
        eventually(lambda: warnings(people.here) == [people.here.user], "its user is warned")
        assert not warnings(people.general) + warnings(people.there)
        for recipient in people.all:
            expected = 552 if recipient == people.here.user else 250
            assert platform.answer(recipient) == expected, recipient
            assert platform.answer(recipient.replace("@", "+tag@")) == expected, recipient
        eventually(lambda: usage(platform, f"{people.name}.here").get("messages"), "usage is on show")
        assert not usage(platform, people.name).get("messages")
        assert not usage(platform, f"{people.name}.there").get("messages")


@pytest.mark.row("M15")
@pytest.mark.row("M13")
def test_a_script_runs_for_its_user_alone_and_answers_from_his_address(platform: Platform, elsewhere: Peer) -> None:
    with namesakes(platform) as people:
        script = 'require ["fileinto", "mailbox", "vacation"]; vacation "away"; fileinto :create "Sorted";'
        active_script(people.here, script)
        for recipient, account in people.all.items():
            for written in (recipient, recipient.replace("@", "+tag@")):
                sender = elsewhere.recipient(f"writer-{secrets.token_hex(4)}")
                message = post(platform, written, sender=sender)
                scripted = account is people.here
                wait_for_message(account, message["Message-ID"], "Sorted" if scripted else "INBOX")

                def replies(sender: str = sender) -> list[str]:
                    found = [one for one in elsewhere.messages() if sender in one.recipients]
                    return [parseaddr(one.message["From"])[1] for one in found]

                if scripted:
                    eventually(replies, "an answer")
                copies(platform, message)
                assert replies() == ([written] if scripted else []), written


@pytest.mark.row("M15")
@pytest.mark.row("M4")
@pytest.mark.row("M5")
def test_groups_and_public_mailboxes_of_a_name_have_members_and_owners_of_their_own(platform: Platform) -> None:
    with namesakes(platform) as people:
        here, there = f"{people.name}.here", f"{people.name}.there"
        sales, desk = f"sales-{people.name}", f"desk-{people.name}"

        def one(name: str, domain: str, **spec: object) -> dict[str, Any]:
            place = "here" if domain == HERE else "there"
            return manifest(
                "Mailbox", platform.namespace, f"{name}.{place}", {"username": name, "domain": domain, **spec}
            )

        objects = (
            one(sales, HERE, type="Group", address="Enabled", members=[here]),
            one(sales, THERE, type="Group", address="Enabled", members=[there, people.name]),
            one(desk, HERE, type="Public", owners=[{"name": f"{sales}.here", "rights": "ReadWrite"}]),
            one(
                desk, THERE, type="Public", owners=[{"name": people.name}, {"name": f"{sales}.there", "rights": "Read"}]
            ),
        )
        with present(platform, *objects):
            assert copies(platform, post(platform, f"{sales}@{HERE}")) == {people.here.user: 1}
            assert copies(platform, post(platform, f"{sales}@{THERE}")) == {people.there.user: 1, people.name: 1}
            assert platform.answer(f"{sales}@{people.third}") == 550
            for domain in (HERE, THERE):
                assert copies(platform, post(platform, f"{desk}@{domain}")) == {f"{desk}@{domain}": 1}
            seen = {
                people.here: {f"Public/{desk}@{HERE}"},
                people.general: {f"Public/{desk}@{THERE}"},
                people.there: {f"Public/{desk}@{THERE}"},
            }
            for account, expected in seen.items():
                with folders.session(account) as imap:
                    assert {name for name in folders.folders(imap) if desk in name and "/Junk" not in name} == expected
            with folders.session(people.here) as imap:
                public = f"Public/{desk}@{HERE}"
                assert folders.rights(imap, public) == set("lrswtipek")
                folders.ok(folders.append(imap, public))
                assert len(folders.subjects(imap, public)) == 2
            with folders.session(people.there) as imap:
                folders.no(imap.select(f"Public/{desk}@{HERE}"))
                assert folders.rights(imap, f"Public/{desk}@{THERE}") == set("lrs")
            with folders.session(people.general) as imap:
                given = folders.grants(imap, f"Public/{desk}@{THERE}")
                assert given[f"#$sales-{people.name}@{THERE}"] == set("lrs")
                assert given[f"#{people.name}"] == set("lrswtipeka")

        def closed() -> bool:
            return not any(desk in name for account in people.all.values() for name in listed(account))

        eventually(closed, "kept mail is closed to everybody")


@pytest.mark.row("M15")
@pytest.mark.row("M5")
def test_what_somebody_shares_is_for_the_one_who_is_named(platform: Platform) -> None:
    with namesakes(platform) as people:
        with folders.session(people.here) as imap:
            folders.ok(imap.create("Work"))
            folders.ok(imap.setacl("Work", people.there.user, "lr"))
            folders.ok(folders.append(imap, "Work"))
        shared = f"Shared/{people.here.user}/Work"
        with folders.session(people.there) as imap:
            assert shared in folders.folders(imap)
            assert folders.rights(imap, shared) == set("lr")
            assert folders.subjects(imap, shared) == ["Put here"]
        with folders.session(people.general) as imap:
            assert shared not in folders.folders(imap)
            folders.no(imap.select(shared))
            folders.ok(imap.create("Home"))
            folders.ok(imap.setacl("Home", people.here.user, "lr"))
        with folders.session(people.here) as imap:
            assert f"Shared/{people.name}/Home" in folders.folders(imap)
        with folders.session(people.there) as imap:
            assert f"Shared/{people.name}/Home" not in folders.folders(imap)


def listed(account: Account) -> set[str]:
    """The folders that somebody sees."""
    with folders.session(account) as imap:
        return folders.folders(imap)


def ended(session: IMAPClient) -> bool:
    """Whether the server has closed a session."""
    try:
        session.noop()
    except (OSError, imaplib.IMAP4.error):
        return True
    return False


@pytest.mark.row("M15")
@pytest.mark.row("M14")
def test_who_is_deleted_is_the_only_one_whose_sessions_end_and_whose_mail_goes(platform: Platform) -> None:
    with namesakes(platform, reclaimPolicy="Delete") as people:
        name = f"{people.name}.here"
        messages = {recipient: post(platform, recipient) for recipient in people.all}
        for recipient, account in people.all.items():
            wait_for_message(account, messages[recipient]["Message-ID"])
        sessions = {account.user: account.imap() for account in people.all.values()}
        submission = people.here.submission()
        eventually(lambda: FINALIZER in mailbox(platform, name)["metadata"].get("finalizers", []), "the finalizer")
        platform.remove_mailbox(name)
        eventually(lambda: platform.kube.get(GROUP, "Mailbox", platform.namespace, name) is None, "it goes")
        assert ended(sessions.pop(people.here.user))
        assert not folder_there(platform, people.here.user)
        submission.mail(people.here.user)
        assert submission.rcpt(f"{people.name}@{people.third}")[0] == 421
        submission.close()
        for user, session in sessions.items():
            assert not ended(session), user
            session.select_folder("INBOX")
            assert len(session.search(["ALL"])) == 1
            assert folder_there(platform, user)
        assert orphan(platform, people.here.user) is None
        after = eventually(lambda: post_if_taken(platform, people.here.user), "the address is that of the one in all")
        assert copies(platform, after) == {people.name: 1}
        assert not unfit(logins(replace(people.general, user=people.here.user))["imap"])
        assert unfit(logins(people.here)["imap"])


@pytest.mark.row("M15")
@pytest.mark.row("M14")
def test_nobody_has_the_address_while_its_mail_is_being_erased(platform: Platform) -> None:
    with namesakes(platform, reclaimPolicy="Delete") as people:
        name = f"{people.name}.here"
        wait_for_message(people.here, post(platform, people.here.user)["Message-ID"])
        eventually(lambda: FINALIZER in mailbox(platform, name)["metadata"].get("finalizers", []), "the finalizer")
        (store,) = platform.kube.pods(platform.namespace, "store", platform.name)
        with frozen_agent(store, "dovecot"):  # it is what erases; Dovecot goes on
            platform.kube.delete(GROUP, "Mailbox", platform.namespace, name)
            eventually(lambda: platform.answer(people.here.user) != 250, "no mail is taken for the address")
            assert mailbox(platform, name)["metadata"]["deletionTimestamp"], "its mail has not been erased"
            for password in (people.here.password, people.general.password):
                assert refused(replace(people.here, password=password))
            assert not unfit(logins(people.there)["imap"])
            assert folder_there(platform, people.here.user)
        eventually(lambda: platform.kube.get(GROUP, "Mailbox", platform.namespace, name) is None, "it goes", timeout=60)
        assert not folder_there(platform, people.here.user)
        platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready")


def post_if_taken(platform: Platform, recipient: str) -> Any:  # noqa: ANN401
    """Send a message, unless its recipient is refused."""
    try:
        return post(platform, recipient)
    except smtplib.SMTPRecipientsRefused:
        return None


def leads_to(platform: Platform, recipient: str) -> set[str]:
    """Where smtp pods lead the mail of an address: what they took before they heard of a change waits."""
    command = ("/usr/sbin/postmap", "-q", recipient, "lmdb:/var/lib/postboat/tables/aliases")
    pods = platform.kube.pods(platform.namespace, "smtp", platform.name)
    found = (platform.kube.exec(platform.namespace, pod["metadata"]["name"], "postfix", command) for pod in pods)
    return {answer.strip() for answer in found}


@pytest.mark.row("M15")
@pytest.mark.row("M14")
def test_kept_mail_is_listed_by_its_whole_name_and_found_again(platform: Platform) -> None:
    with namesakes(platform) as people:
        name = f"{people.name}.there"
        message = post(platform, people.there.user)
        wait_for_message(people.there, message["Message-ID"])
        platform.kube.delete(GROUP, "Mailbox", platform.namespace, name)
        eventually(lambda: orphan(platform, people.there.user), "the orphan is listed")
        for user in (people.name, people.here.user):
            assert orphan(platform, user) is None, user
        general = f"{people.name}@mailbox.invalid"
        eventually(lambda: leads_to(platform, people.there.user) == {general}, "Postfix has heard of it")
        after = post(platform, people.there.user)
        assert copies(platform, after) == {people.name: 1}
        assert folder_there(platform, people.there.user)
        reference = {"name": f"{name}-password", "key": "password"}
        again = {"username": people.name, "domain": THERE.upper(), "passwordSecret": reference}
        platform.kube.apply(manifest("Mailbox", platform.namespace, name, again))
        platform.kube.wait_condition("Mailbox", platform.namespace, name, "Ready")
        wait_for_message_when_back(people.there, message["Message-ID"])
        eventually(lambda: orphan(platform, people.there.user) is None, "it is no orphan any more")
        with people.there.imap() as session:
            session.select_folder("INBOX")
            assert len(session.search(["ALL"])) == 1, "what went to the other one meanwhile stays there"


@pytest.mark.row("M15")
@pytest.mark.row("A1")
def test_one_domain_knows_nothing_of_a_name_in_another(platform: Platform) -> None:
    token = secrets.token_hex(3)
    name, caught = f"only-{token}", f"catch-{token}.test"
    unknown = {"unknownRecipients": {"action": "Deliver", "mailbox": name}}
    account = named(platform, name, name, HERE)
    with platform.smtp() as session:
        assert answer(session, account.user)[0] == 250
        for wrong in (
            f"{name}@{THERE}",
            f"{name}@{platform.hostname}",
            f"{name}={HERE}@mailbox.invalid",
            f"{name}={HERE}@{HERE}",
        ):
            assert 550 <= answer(session, wrong)[0] < 560, wrong
    for login in (name, f"{name}@{THERE}", f"{name}@elsewhere.test", f"{name}={HERE}"):
        assert refused(replace(account, user=login)), login
    with present(
        platform,
        manifest("MailDomain", platform.namespace, caught, {"delivery": "Local", **unknown}),
        address(platform, f"to-{token}", name),
        manifest("Mailbox", platform.namespace, f"on-{token}", {"forward": {"to": [account.user]}}),
    ):
        for recipient in (f"{name}@{caught}", f"to-{token}@{THERE}", f"on-{token}@{THERE}"):
            assert copies(platform, post(platform, recipient)) == {account.user: 1}, recipient
    platform.remove_mailbox(name)


@pytest.mark.row("M15")
@pytest.mark.row("A1")
def test_an_address_beside_a_mailbox_in_that_domain_gives_way_to_it(platform: Platform) -> None:
    with namesakes(platform) as people:
        rival = address(platform, f"rival-{people.name}", people.name, localPart=people.name, domain=HERE)
        with present(platform, rival, ready=False):
            said = verdict(platform, "MailAddress", f"rival-{people.name}", "Conflict")
            assert f"Mailbox {people.name}.here has this address" in said
            assert "but is refused" in verdict(platform, "Mailbox", f"{people.name}.here", "Accepted")
            assert copies(platform, post(platform, people.here.user)) == {people.here.user: 1}
            off = {"spec": {"address": "Disabled"}}
            platform.kube.patch(GROUP, "Mailbox", platform.namespace, f"{people.name}.here", off)
            platform.kube.wait_condition("MailAddress", platform.namespace, f"rival-{people.name}", "Ready")
            assert copies(platform, post(platform, people.here.user)) == {people.name: 1}
        eventually(lambda: platform.answer(people.here.user) == 550, "nobody has it then, the one in all least of all")
        assert not unfit(logins(people.here)["imap"])


@pytest.mark.row("M15")
@pytest.mark.row("A2")
def test_a_domain_in_any_script_is_the_same_in_addresses_and_logins(platform: Platform) -> None:
    token = secrets.token_hex(3)
    name = f"leser-{token}"
    written, ascii_ = f"köln-{token}.test", f"köln-{token}.test".encode("idna").decode()
    domain = manifest("MailDomain", platform.namespace, f"idn-{token}", {"domain": written})
    general = platform.add_mailbox(name)
    with present(platform, domain):
        account = named(platform, f"{name}.idn", name, written.upper())
        assert mailbox(platform, f"{name}.idn")["status"]["username"] == f"{name}@{ascii_}"
        older(platform, "Mailbox", f"{name}.idn")
        twin = manifest("Mailbox", platform.namespace, f"{name}.twin", {"username": name, "domain": ascii_})
        with present(platform, twin, ready=False):
            assert f"older Mailbox {name}.idn" in verdict(platform, "Mailbox", f"{name}.twin", "Conflict")
        for host in (written, written.upper(), ascii_, ascii_.upper()):
            message = letter(SENDER, f"{name}@{ascii_}", subject=host)
            with platform.smtp() as session:
                session.ehlo()
                options = ["SMTPUTF8", "BODY=8BITMIME"]
                assert not session.sendmail(SENDER, [f"{name}@{host}"], message.as_bytes(), options)
            assert copies(platform, message) == {f"{name}@{ascii_}": 1}, host
        for host in (written, ascii_, ascii_.upper()):
            for password, fits in ((account.password, True), (general.password, False)):
                assert plain(account, f"{name}@{host}", password) == fits, host
    said = verdict(platform, "Mailbox", f"{name}.idn", "DomainNotFound")
    assert said.startswith(f"spec.domain: no MailDomain in force states {ascii_}"), said
    for one in (name, f"{name}.idn"):
        platform.remove_mailbox(one)


def plain(account: Account, user: str, password: str) -> bool:
    """Whether both IMAP and submission take a login in any script."""
    response = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
    with account.secure() as session:
        session.ehlo()
        submits = session.docmd("AUTH PLAIN", response)[0] == 235
    with IMAPClient(account.hostname, 993, ssl=True, ssl_context=account.context(), timeout=SECONDS) as imap:
        reads = not unfit(lambda: imap.plain_login(user, password))
        if not reads:
            imap.shutdown()
    assert reads == submits
    return reads


@pytest.mark.row("M15")
@pytest.mark.row("B3")
def test_without_its_domain_a_mailbox_waits_with_its_mail(platform: Platform) -> None:
    token = secrets.token_hex(3)
    name, domain = f"waits-{token}", f"later-{token}.test"
    platform.kube.apply(platform.mailbox(name, domain=domain))
    said = verdict(platform, "Mailbox", name, "DomainNotFound")
    assert said == f"spec.domain: no MailDomain in force states {domain}"
    assert platform.answer(f"{name}@{domain}") != 250
    there = manifest("MailDomain", platform.namespace, domain, {"delivery": "Local"})
    with present(platform, there):
        account = named(platform, name, name, domain)
        message = post(platform, account.user)
        wait_for_message(account, message["Message-ID"])
        session = account.imap()
    verdict(platform, "Mailbox", name, "DomainNotFound")
    eventually(lambda: ended(session), "sessions end")
    assert unfit(logins(account)["imap"])
    assert folder_there(platform, account.user)
    assert orphan(platform, account.user) is None, "its Mailbox is there"
    relayed = {"delivery": "Relay", "relay": {"host": "mx.relayed.test"}}
    with present(platform, manifest("MailDomain", platform.namespace, domain, relayed)):
        said = str(eventually(lambda: relayed_verdict(platform, name), "the verdict is another one"))
        assert said == f"spec.domain: another server has all addresses of {domain}"
        assert unfit(logins(account)["imap"])
    with present(platform, there):
        platform.kube.wait_condition("Mailbox", platform.namespace, name, "Ready")
        wait_for_message_when_back(account, message["Message-ID"])
    platform.remove_mailbox(name)


def relayed_verdict(platform: Platform, name: str) -> str | None:
    message = verdict(platform, "Mailbox", name, "DomainNotFound")
    return message if "another server" in message else None


@pytest.mark.row("M15")
@pytest.mark.row("M1")
def test_names_that_mean_something_elsewhere_are_plain_names_here(platform: Platform) -> None:
    """Names that other mail servers fail at, in a domain below one of ours, and as long as a name may be."""
    token = secrets.token_hex(3)
    domain = f"{token}.{'y' * 61}.{'z' * 53}.example.test"
    plain_names = ("1info", "_x", "a.b-c_d", "root", "postmaster", "nobody", "cur", "dovecot", "x" * 64)
    longest = f"{plain_names[-1]}@{domain}"
    assert len(longest) == 200, "the most that there may be"
    general = platform.add_mailbox()
    objects = [manifest("MailDomain", platform.namespace, f"below-{token}", {"domain": domain})]
    objects += [
        manifest("Mailbox", platform.namespace, f"plain-{token}-{number}", {"username": name, "domain": domain})
        for number, name in enumerate(plain_names)
    ]
    secret = {"passwordSecret": {"name": f"{general.user}-password", "key": "password"}}
    for one in objects[1:]:
        one["spec"] |= secret
    with present(platform, *objects):
        for name in plain_names:
            account = replace(general, user=f"{name}@{domain}")
            message = post(platform, account.user)
            assert copies(platform, message) == {account.user: 1}, name
            wait_for_message(account, message["Message-ID"])
            assert platform.answer(f"{name}@{THERE}") == 550 or name == "postmaster", name
        with folders.session(replace(general, user=longest)) as imap:
            folders.ok(imap.create("Work"))
            folders.ok(imap.setacl("Work", general.user, "lr"))
        with folders.session(general) as imap:
            assert f"Shared/{longest}/Work" in folders.folders(imap)
            folders.ok(imap.select(f"Shared/{longest}/Work", readonly=True))
    platform.remove_mailbox(general.user)


@pytest.mark.row("M15")
def test_the_host_may_be_a_domain_with_mailboxes_of_its_own(platform: Platform) -> None:
    token = secrets.token_hex(3)
    name = f"at-host-{token}"
    hidden = platform.add_mailbox(name, address="Disabled")
    with present(platform, manifest("MailDomain", platform.namespace, platform.hostname, {"delivery": "Local"})):
        account = named(platform, f"{name}.host", name, platform.hostname)
        with present(platform, address(platform, f"to-{token}", name)):
            for recipient, user in ((account.user, account.user), (f"to-{token}@{HERE}", name)):
                assert copies(platform, post(platform, recipient)) == {user: 1}, (
                    "both are known to stores by one address"
                )
        assert not unfit(logins(account)["imap"])
        assert unfit(logins(replace(hidden, user=account.user))["imap"])
        platform.remove_mailbox(f"{name}.host")
    platform.remove_mailbox(name)


@pytest.mark.row("M15")
@pytest.mark.row("B3")
@pytest.mark.parametrize("domain", ["", "no domain", "example", "@example.test", "example..test", "-a.test", "x" * 260])
def test_what_is_no_domain_is_refused_by_field(platform: Platform, domain: str) -> None:
    with pytest.raises(ApiException) as caught:
        platform.kube.create(platform.mailbox("wrong-domain", domain=domain))
    assert 400 <= caught.value.status < 500
    assert "spec.domain" in json.loads(caught.value.body)["message"]


@pytest.mark.row("M15")
@pytest.mark.row("B3")
def test_a_mailbox_keeps_its_domain(platform: Platform) -> None:
    """Mail lies under the whole name: another domain would be another mailbox."""
    with namesakes(platform) as people:
        for name, domain in ((people.name, HERE), (f"{people.name}.here", THERE), (f"{people.name}.here", None)):
            with pytest.raises(ApiException) as caught:
                platform.kube.patch(GROUP, "Mailbox", platform.namespace, name, {"spec": {"domain": domain}})
            assert 400 <= caught.value.status < 500
            assert "the domain of a mailbox never changes" in json.loads(caught.value.body)["message"]


@pytest.mark.row("M15")
@pytest.mark.row("B3")
def test_an_address_longer_than_a_folders_name_is_refused_in_words(platform: Platform) -> None:
    domain = ".".join(["x" * 60] * 4) + ".test"
    with present(platform, manifest("Mailbox", platform.namespace, "long-name", {"domain": domain}), ready=False):
        assert "longer than the 200 characters" in verdict(platform, "Mailbox", "long-name", "Invalid")
