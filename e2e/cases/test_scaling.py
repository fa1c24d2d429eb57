"""Growth: more replicas and more stores under open sessions, every replica asked by itself, and back again.

The shared platform is grown once for all cases of this file and put back at the end.
"""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial

import pytest
from imapclient import IMAPClient

from e2e.cases.test_quota import FULL, fill, quota, refusal, subjects
from e2e.clients import Account, letter, rcpt, wait_for_message, wait_for_message_when_back
from e2e.kube import GROUP, Object, eventually
from e2e.mailbox_state import erase, freed, orphans, store_of, stores
from e2e.namesakes import namesakes
from e2e.operator import Operator
from e2e.platform import Platform
from e2e.post import copies, drained, post
from e2e.processes import container_processes, frozen, frozen_agent
from postboat.model import names

STORES = 3
GROWN = {"smtp": {"replicas": 2}, "imap": {"replicas": 2}, "filter": {"replicas": 2}, "storage": {"shards": STORES}}


@dataclass(frozen=True)
class Growth:
    """The platform after it has grown, and what was seen of it before."""

    platform: Platform
    pods_before: dict[str, str]
    session: IMAPClient
    message_id: str


def uids(platform: Platform) -> dict[str, str]:
    return {
        pod["metadata"]["name"]: pod["metadata"]["uid"]
        for pod in platform.kube.pods(platform.namespace, instance=platform.name)
    }


@pytest.fixture(scope="module")
def grown(platform: Platform, alice: Account) -> Iterator[Growth]:
    before = uids(platform)
    message = letter("stranger@outside.test", "alice@example.test", subject="Before the growth")
    with platform.smtp() as smtp:
        smtp.send_message(message)
    wait_for_message(alice, message["Message-ID"])
    with alice.imap() as session:
        platform.kube.patch(GROUP, "MailServer", platform.namespace, platform.name, {"spec": GROWN})
        platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready", timeout=180)
        yield Growth(platform, before, session, message["Message-ID"])
        shrunk = {"spec": dict.fromkeys(GROWN)}
        platform.kube.patch(GROUP, "MailServer", platform.namespace, platform.name, shrunk)
        platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready", timeout=180)
        eventually(lambda: freed(platform, 1), "stores go when nothing is left on them", timeout=120)
        eventually(lambda: uids(platform).keys() == before.keys(), "and their pods", timeout=180)


@pytest.fixture(scope="module")
def settlers(grown: Growth) -> Iterator[dict[int, Account]]:
    """One mailbox on each store, as the statuses tell; where a name leads is the platform's affair."""
    platform, placed, surplus = grown.platform, dict[int, Account](), []
    while len(placed) < STORES:
        account = platform.add_mailbox()
        store = store_of(platform, account.user)
        if store in placed:
            surplus.append(account)
        assert len(surplus) < 60, f"so many mailboxes, and only the stores {sorted(placed)} are used"
        placed.setdefault(store, account)
    for account in surplus:
        platform.remove_mailbox(account.user)
    yield placed
    for account in placed.values():
        platform.remove_mailbox(account.user)


def pod_ip(platform: Platform, name: str) -> str:
    found = platform.kube.get("v1", "Pod", platform.namespace, name)
    assert found is not None
    return str(found["status"]["podIP"])


@contextmanager
def straight_to(platform: Platform, address: str) -> Iterator[None]:
    """Lead the clients of this process to one pod instead of the Services."""
    known = {smtp: platform.directory.addresses[platform.hostname, smtp] for smtp in (True, False)}
    platform.directory.addresses.update({(platform.hostname, smtp): address for smtp in known})
    try:
        yield
    finally:
        platform.directory.addresses.update({(platform.hostname, smtp): ip for smtp, ip in known.items()})


@pytest.mark.row("B8")
def test_growth_restarts_nothing_and_moves_nobody(grown: Growth, alice: Account) -> None:
    grown.session.noop()
    assert grown.session.folder_exists("INBOX"), "the session that was open all the time is served"
    after = uids(grown.platform)
    assert {name: uid for name, uid in after.items() if name in grown.pods_before} == grown.pods_before
    assert len(after) == len(grown.pods_before) + 5
    wait_for_message(alice, grown.message_id)


@pytest.mark.row("B8")
@pytest.mark.row("M15")
def test_namesakes_have_their_mail_on_whatever_store_each_of_them_lives(grown: Growth) -> None:
    with ExitStack() as tries:
        for _ in range(20):
            people = tries.enter_context(namesakes(grown.platform, reclaimPolicy="Delete"))
            names_of = (people.name, f"{people.name}.here", f"{people.name}.there")
            places = [store_of(grown.platform, name) for name in names_of]
            if len(set(places)) > 1 and places[1]:
                break
        else:
            pytest.fail("twenty times people of one name live on one store, or those of one domain on the first")
        for recipient, account in people.all.items():
            message = post(grown.platform, recipient)
            assert copies(grown.platform, message) == {account.user: 1}
            wait_for_message(account, message["Message-ID"])
            wait_for_message(replace(account, user=recipient), message["Message-ID"])
            with account.imap() as session:
                session.select_folder("INBOX", readonly=True)
                assert len(session.search(["ALL"])) == 1


@pytest.mark.row("B8")
@pytest.mark.row("D2")
def test_mailboxes_of_every_store_answer(grown: Growth, settlers: dict[int, Account]) -> None:
    platform = grown.platform
    for store, account in settlers.items():
        message = letter("stranger@outside.test", f"{account.user}@example.org")
        with platform.smtp() as session:
            session.send_message(message)
        wait_for_message(account, message["Message-ID"])
        script = (
            f"import subprocess; found = subprocess.run(['grep', '-rlF', '{message['Message-ID']}',"
            f" '/srv/mail/{account.user}'], capture_output=True); print(found.stdout.decode(), end='')"
        )
        find = ["python3", "-c", script]
        holders = {
            number
            for number in range(STORES)
            if platform.kube.exec(platform.namespace, f"{platform.name}-store-{number}", "dovecot", find)
        }
        assert holders == {store}, f"the mail of {account.user} lies on {holders}"


def warnings(account: Account) -> list[str]:
    return [subject for subject in subjects(account) if subject.startswith("Your mailbox")]


@pytest.mark.row("M7")
def test_a_mailbox_fills_up_alike_on_every_store(grown: Growth, settlers: dict[int, Account]) -> None:
    platform, accounts = grown.platform, list(settlers.values())
    for limit in ("20Ki", None):
        platform.kube.apply(*(platform.mailbox(one.user, **({"quota": limit} if limit else {})) for one in accounts))
        for account in accounts:
            platform.kube.wait_condition("Mailbox", platform.namespace, account.user, "Ready")
            if limit:
                fill(platform, account, 24)
                assert (quota(account) or (0, 0))[1] == 20
                warning = eventually(partial(warnings, account), "its user is warned")
                assert warning == ["Your mailbox is 90% full"]
            answer = refusal(platform, f"{account.user}@example.org")
            assert answer.startswith(f"{FULL} 5.2.2" if limit else "250"), f"with {limit} {account.user} has {answer}"


@pytest.mark.row("B1")
@pytest.mark.row("B8")
def test_ready_means_that_every_replica_serves(grown: Growth, settlers: dict[int, Account]) -> None:
    """Each pod is asked by itself, on the port it listens on, in the moment that the object says Ready."""
    platform = grown.platform
    assert set(settlers) == set(range(STORES))
    for _ in range(3):
        account = platform.add_mailbox()
        for number in range(2):
            with smtplib.SMTP(pod_ip(platform, f"{platform.name}-smtp-{number}"), 10025, timeout=20) as session:
                assert rcpt(session, f"{account.user}@example.test")[0] == 250
            with straight_to(platform, pod_ip(platform, f"{platform.name}-imap-{number}")):
                session = IMAPClient(platform.hostname, 10993, ssl=True, ssl_context=account.context(), timeout=20)
                session.login(account.user, account.password)
                session.logout()
        platform.remove_mailbox(account.user)


@pytest.mark.row("B1")
def test_an_object_is_not_ready_while_one_replica_lags(grown: Growth) -> None:
    platform = grown.platform
    lagging = next(
        pod
        for pod in platform.kube.pods(platform.namespace, "smtp", platform.name)
        if pod["metadata"]["name"].endswith("-1")
    )
    with frozen_agent(lagging, "postfix"):
        account = platform.add_mailbox(wait=False)
        address = f"{account.user}@example.test"

        def taken_by(number: int) -> int:
            with smtplib.SMTP(pod_ip(platform, f"{platform.name}-smtp-{number}"), 10025, timeout=20) as session:
                return rcpt(session, address)[0]

        eventually(lambda: taken_by(0) == 250, "the replica that works takes the address")
        assert taken_by(1) == 550
        ready = platform.kube.wait_condition("Mailbox", platform.namespace, account.user, "Ready", "False")
        assert ready["reason"] == "Pending"
    platform.kube.wait_condition("Mailbox", platform.namespace, account.user, "Ready")
    assert taken_by(1) == 250
    platform.remove_mailbox(account.user)


@pytest.mark.row("B8")
def test_a_store_stays_while_it_holds_a_mailbox(grown: Growth, settlers: dict[int, Account]) -> None:
    """Fewer stores take new mailboxes, but none goes away under its mail."""
    platform = grown.platform
    farthest = settlers[STORES - 1]
    message = letter("stranger@outside.test", f"{farthest.user}@example.test")
    fewer = {"spec": {"storage": {"shards": 1}}}
    try:
        platform.kube.patch(GROUP, "MailServer", platform.namespace, platform.name, fewer)
        platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready")
        assert stores(platform) == STORES
        with platform.smtp() as session:
            session.send_message(message)
        wait_for_message(farthest, message["Message-ID"])
        newcomer = platform.add_mailbox()
        assert store_of(platform, newcomer.user) == 0
        platform.remove_mailbox(newcomer.user)
    finally:
        platform.kube.patch(GROUP, "MailServer", platform.namespace, platform.name, {"spec": GROWN})
        platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready")


@pytest.mark.alone
@pytest.mark.row("B8")
@pytest.mark.row("M14")
def test_a_store_stays_for_mail_of_nobody_and_until_it_is_erased(
    grown: Growth, settlers: dict[int, Account], operator: Operator
) -> None:
    """Also for an operator that has just begun; that the store goes at last is proven when the platform shrinks."""
    platform = grown.platform
    account = settlers.pop(STORES - 1)
    message = letter("stranger@outside.test", f"{account.user}@example.test")
    with platform.smtp() as session:
        session.send_message(message)
    wait_for_message(account, message["Message-ID"])
    fewer = {"spec": {"storage": {"shards": 1}}}
    try:
        platform.kube.patch(GROUP, "MailServer", platform.namespace, platform.name, fewer)
        platform.remove_mailbox(account.user)
        eventually(lambda: orphans(platform).get(account.user) == STORES - 1, "its mail is listed")
        operator.scale(0)
        operator.scale(1)
        newcomer = platform.add_mailbox()
        assert store_of(platform, newcomer.user) == 0
        platform.remove_mailbox(newcomer.user)
        assert stores(platform) == STORES
        assert orphans(platform).get(account.user) == STORES - 1, "a new operator knows of it as well"
        again = platform.add_mailbox(account.user, reclaimPolicy="Delete")
        assert store_of(platform, again.user) == STORES - 1, "beyond the stores that are asked for"
        wait_for_message(again, message["Message-ID"])
        erase(platform, account.user)
        eventually(lambda: account.user not in orphans(platform), "nothing is left of it")
    finally:
        platform.kube.patch(GROUP, "MailServer", platform.namespace, platform.name, {"spec": GROWN})
        platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready", timeout=120)
        user = next(name for name in (f"settler{n}" for n in range(100)) if names.store(name, STORES) == STORES - 1)
        settlers[STORES - 1] = platform.add_mailbox(user)


@pytest.mark.row("B2")
@pytest.mark.row("B8")
def test_a_store_that_hangs_holds_up_mail_to_no_other(grown: Growth, settlers: dict[int, Account]) -> None:
    """It takes connections and says nothing, as if its node was lost: each attempt lasts half a minute."""
    platform = grown.platform
    smtp = next(pod for pod in platform.kube.pods(platform.namespace, "smtp", platform.name) if pod_number(pod) == 0)
    hanging = next(
        pod for pod in platform.kube.pods(platform.namespace, "store", platform.name) if pod_number(pod) == 1
    )

    def send(account: Account) -> str:
        message = letter("stranger@outside.test", f"{account.user}@example.test")
        with smtplib.SMTP(pod_ip(platform, smtp["metadata"]["name"]), 10025, timeout=20) as session:
            session.send_message(message)
        return str(message["Message-ID"])

    def deliverers() -> int:
        return sum(process.name == "lmtp" for process in container_processes(smtp)["postfix"])

    # Its agent as well, which continues what is stopped.
    with frozen(container_processes(hanging)["dovecot"]):
        waiting = [send(settlers[1]) for _ in range(25)]
        eventually(lambda: deliverers() >= 5, "as many as Postfix begins with wait for it")
        for account in (settlers[0], settlers[2]):
            wait_for_message(account, send(account), timeout=15)
    for message in waiting[::12]:
        wait_for_message_when_back(settlers[1], message)
    drained(platform)


def pod_number(pod: Object) -> int:
    return int(pod["metadata"]["name"].rpartition("-")[2])
