"""What the agents in the pods stand: directory shards that somebody deleted, validators that are killed, hung daemons.

What is missing or slow is answered with 4xx and mended by itself; nobody who is there is refused for good.
"""

from __future__ import annotations

import imaplib
import os
import signal
import smtplib
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e.clients import Account, letter, wait_for_message, wait_for_message_when_back
from e2e.kube import GROUP, Object, eventually
from e2e.platform import Platform
from e2e.processes import Process, container_processes, container_statuses, kill, traced
from postboat.model import names

NO_ANSWER = 421
_MNT_DETACH = 2  # mount(2)


@contextmanager
def paused(platform: Platform) -> Iterator[None]:
    """The operator writes nothing meanwhile."""
    spec = {"paused": True}
    platform.kube.patch(GROUP, "MailServer", platform.namespace, platform.name, {"spec": spec})
    try:
        eventually(lambda: condition(platform, "ConfigSynced")["reason"] == "Paused", "the operator pauses")
        yield
    finally:
        platform.kube.patch(GROUP, "MailServer", platform.namespace, platform.name, {"spec": {"paused": None}})


def condition(platform: Platform, kind: str) -> Object:
    found = platform.kube.condition("MailServer", platform.namespace, platform.name, kind)
    assert found is not None
    return found


def reply(platform: Platform, recipient: str) -> int:
    """The answer at RCPT; a connection that is refused or ends asks the sender to come again."""
    try:
        return platform.answer(recipient)
    except (AssertionError, OSError):
        return NO_ANSWER


def shards(platform: Platform) -> list[str]:
    secrets = platform.kube.objects("v1", "Secret", platform.namespace, "app.kubernetes.io/component=directory")
    return [one["metadata"]["name"] for one in secrets]


def touch(platform: Platform) -> None:
    """Make the kubelet look at the volumes of all pods at once, as the operator does when it writes."""
    for component in ("smtp", "imap", "store"):
        for pod in platform.kube.pods(platform.namespace, component, platform.name):
            note = {"metadata": {"annotations": {"e2e/touch": str(time.time())}}}
            platform.kube.patch("v1", "Pod", platform.namespace, pod["metadata"]["name"], note)


@pytest.mark.row("B1")
def test_shards_that_somebody_deleted_refuse_nobody(platform: Platform, alice: Account) -> None:
    before = set(shards(platform))
    assert before
    with paused(platform):
        for name in before:
            platform.kube.delete("v1", "Secret", platform.namespace, name)

        def told() -> bool:
            touch(platform)
            found = condition(platform, "WorkloadsReady")
            return found["reason"] == "ConfigurationDelayed" and "IncompleteMount" in found["message"]

        eventually(told, "the status tells of missing shards", timeout=60, every=1)
        for _ in range(10):
            assert platform.answer("alice@example.test") == 250
            assert platform.answer("nobody@example.test") == 550
            with alice.imap() as session:
                session.select_folder("INBOX")
        platform.kube.delete("v1", "Pod", platform.namespace, f"{platform.name}-smtp-0")
        platform.kube.delete("v1", "Pod", platform.namespace, f"{platform.name}-store-0")
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:  # the pods begin, and wait
            assert reply(platform, "alice@example.test") < 500
            time.sleep(0.5)
    # A mailbox that an earlier case removed may have been in the last one of its shard.
    users = [one["metadata"]["name"] for one in platform.kube.objects(GROUP, "Mailbox", platform.namespace)]
    needed = {f"{platform.name}-directory-{names.shard(user):02}" for user in users}
    assert needed
    eventually(lambda: needed <= set(shards(platform)) <= before, "the shards are back")
    platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready", timeout=180)
    assert platform.answer("alice@example.test") == 250
    message = letter("stranger@outside.test", "alice@example.test")
    with platform.smtp() as session:
        session.send_message(message)
    wait_for_message(alice, message["Message-ID"])


@pytest.mark.row("B1")
def test_a_mailbox_that_is_deleted_leaves_with_the_last_row_of_its_shard(platform: Platform) -> None:
    """A shard without rows is deleted, which must not be taken for one that is missing."""
    account = platform.add_mailbox("leaver-zq")
    with account.imap() as session:
        session.select_folder("INBOX")
    assert platform.answer("leaver-zq@example.test") == 250
    platform.remove_mailbox(account.user)
    eventually(lambda: platform.answer("leaver-zq@example.test") == 550, "its address is gone", timeout=30)

    def refused() -> bool:
        try:
            account.imap().logout()
        except imaplib.IMAP4.error:
            return True
        return False

    eventually(refused, "nobody logs in", timeout=30)


@pytest.mark.row("B2")
def test_a_validator_that_is_killed_refuses_nothing(platform: Platform) -> None:
    old = platform.kube.pods(platform.namespace, "filter", platform.name)[0]
    platform.kube.delete("v1", "Pod", platform.namespace, old["metadata"]["name"])
    killed = 0
    deadline = time.monotonic() + 90
    while killed < 2 and time.monotonic() < deadline:
        for pod in platform.kube.pods(platform.namespace, "filter", platform.name):
            if pod["metadata"]["uid"] == old["metadata"]["uid"]:
                continue
            validators = [one for one in container_processes(pod).get("rspamd", []) if one.name == "rspamadm"]
            kill(validators)
            killed += len(validators)
        time.sleep(0.02)
    assert killed == 2, "the validator was killed twice"

    def back() -> bool:
        pod = platform.kube.pods(platform.namespace, "filter", platform.name)[0]
        states = container_statuses(pod)
        assert all(state["restartCount"] == 0 for state in states), "nothing had to be started anew"
        return bool(states) and all(state["ready"] for state in states)

    eventually(back, "the filter serves", timeout=240)
    platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready", timeout=90)
    message = letter("stranger@outside.test", "alice@example.test")

    def taken() -> bool:
        try:
            with platform.smtp() as session:
                session.send_message(message)
        except (smtplib.SMTPResponseException, smtplib.SMTPServerDisconnected) as error:
            raise AssertionError(error) from error
        return True

    eventually(taken, "mail is taken", timeout=90)


def stopped(pid: int) -> bool:
    """Whether a process is there and stopped (proc_pid_stat(5))."""
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


def mail_goes_round(platform: Platform, account: Account) -> None:
    """A stranger's letter is taken and read."""
    message = letter("stranger@outside.test", f"{account.user}@example.test")

    def taken() -> bool:
        try:
            with platform.smtp() as session:
                session.send_message(message)
        except (smtplib.SMTPException, OSError) as error:
            raise AssertionError(error) from error
        return True

    eventually(taken, "mail is taken", timeout=120)
    wait_for_message_when_back(account, message["Message-ID"])


@pytest.mark.row("B2")
@pytest.mark.parametrize("component", ["smtp", "imap", "store", "filter", "valkey"])
def test_processes_that_were_stopped_go_on(platform: Platform, alice: Account, component: str) -> None:
    pod = platform.kube.pods(platform.namespace, component, platform.name)[0]
    restarts = [state["restartCount"] for state in container_statuses(pod)]
    victims = [one for running in container_processes(pod).values() for one in running if one.inner != 1]
    assert victims
    for process in victims:
        os.kill(process.pid, signal.SIGSTOP)

    def all_go_on() -> bool:
        still = [one for one in victims if stopped(one.pid)]
        assert not still, still
        return True

    eventually(all_go_on, "all go on", timeout=60)
    mail_goes_round(platform, alice)
    pod = platform.kube.pods(platform.namespace, component, platform.name)[0]
    assert [state["restartCount"] for state in container_statuses(pod)] == restarts


@pytest.mark.row("B2")
@pytest.mark.parametrize(
    ("component", "container", "program"),
    [
        ("smtp", "postfix", "qmgr"),
        ("smtp", "postfix", "master"),
        ("store", "dovecot", "auth"),
        ("filter", "rspamd", ""),
    ],
)
def test_a_daemon_that_hangs_is_started_again(
    platform: Platform, alice: Account, component: str, container: str, program: str
) -> None:
    """A traced process stands still and cannot be continued, as one that waits for a lock for ever."""
    mail_goes_round(platform, alice)
    pod = platform.kube.pods(platform.namespace, component, platform.name)[0]
    running = [one for one in container_processes(pod)[container] if one.inner != 1]
    victims = [one for one in running if not program or one.name == program]
    assert victims
    with traced(victims) as ended:
        eventually(ended, f"{program or container} is ended", timeout=400)
    mail_goes_round(platform, alice)
    platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready", timeout=120)


@contextmanager
def another_volume(process: Process, path: str, size: str) -> Iterator[Path]:
    """Lay a small file system over a folder of a container, as it sees it; the result is that folder, from here."""
    inside = ["nsenter", "--target", str(process.pid), "--mount", "--", "python3", "-c"]  # images have no mount(8)
    mount = f"libc.mount(b'tmpfs', b'{path}', b'tmpfs', 0, b'size={size},mode=755')"
    subprocess.run([*inside, f"import ctypes; libc = ctypes.CDLL(None); assert {mount} == 0"], check=True)
    try:
        yield Path("/proc", str(process.pid), "root", path.lstrip("/"))
    finally:
        unmount = f"libc.umount2(b'{path}', {_MNT_DETACH})"
        subprocess.run([*inside, f"import ctypes; libc = ctypes.CDLL(None); assert {unmount} == 0"], check=True)


@pytest.mark.row("B2")
@pytest.mark.parametrize(
    ("component", "container", "path", "filled", "reason"),
    [
        ("valkey", "valkey", "/var/lib/valkey", 90, "StorageFilling"),
        ("valkey", "valkey", "/var/lib/valkey", 97, "StorageNearlyFull"),
        ("smtp", "postfix", "/var/spool/postfix", 0, "StorageFull"),
    ],
)
def test_a_volume_that_fills_up_is_told(  # noqa: PLR0913, PLR0917  one row of the table
    platform: Platform, component: str, container: str, path: str, filled: int, reason: str
) -> None:
    pod = platform.kube.pods(platform.namespace, component, platform.name)[0]
    agent = next(one for one in container_processes(pod)[container] if one.inner == 1)
    with another_volume(agent, path, "10m") as volume:
        (volume / "filling").write_bytes(bytes(filled * 10 * 1024 * 1024 // 100))
        found = eventually(
            lambda: (found := condition(platform, "StorageAvailable"))["reason"] == reason and found,
            f"{reason} is told",
            timeout=45,  # the operator asks every 15 s
        )
        assert pod["metadata"]["name"] in found["message"]
        assert "% used" in found["message"]
        assert (condition(platform, "Ready")["status"] == "False") == (reason == "StorageFull")
    eventually(lambda: condition(platform, "StorageAvailable")["reason"] != reason, "there is room again", timeout=45)
    platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready", timeout=90)
