"""Deliveries: Postfix to the stores; who may deliver, what a delivery costs, and what a store that hangs does."""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from functools import partial

from e2e.clients import letter
from e2e.kube import Object, eventually
from e2e.platform import Platform
from e2e.post import drained, queue
from e2e.processes import container_processes, frozen
from postboat.controller.reconcile.certificates import authority, leaf

# In the smtp pod, which the network policy lets through to the store. Arguments: its host, how Postfix calls it, and a
# certificate of somebody else's.
VISITS = r"""
import socket, ssl, sys, tempfile
host, known, foreign = sys.argv[1:]
with tempfile.NamedTemporaryFile("w", suffix=".pem", delete=False) as file:
    file.write(foreign)
active = "/run/postboat/active/"
def visit(certificate="", name=known, tls=True):
    try:
        with socket.create_connection((host, 10024), 10) as connection:
            connection.settimeout(5)
            if tls:
                context = ssl.create_default_context(cafile=active + "ca.pem")
                context.check_hostname = False
                if certificate:
                    context.load_cert_chain(certificate)
                connection = context.wrap_socket(connection, server_hostname=name)
            else:
                connection.sendall(b"LHLO stranger\r\nMAIL FROM:<>\r\nRCPT TO:<alice@mailbox.invalid>\r\n")
            return connection.recv(512).decode()
    except OSError as error:
        return f"error: {error}"
found = {
    "in clear": visit(tls=False),
    "no certificate": visit(),
    "of a foreign authority": visit(file.name),
    "of a server": visit(active + "inner.pem"),
    "by another name": visit(active + "client.pem", name=host),
    "as Postfix": visit(active + "client.pem"),
}
for way, answer in found.items():
    print(way, " ".join(answer.split()), sep="\t")
"""


def test_a_store_takes_mail_only_from_who_shows_a_certificate_of_the_platform(platform: Platform) -> None:
    now = dt.datetime.now(dt.UTC)
    foreign = leaf(authority("elsewhere", now), (), now, client=True, name="store")
    host = f"{platform.name}-store-0.{platform.name}-store.{platform.namespace}.svc.cluster.local"
    command = ["python3", "-c", VISITS, host, platform.hostname, (foreign.key + foreign.certificate).decode()]
    told = platform.kube.exec(platform.namespace, f"{platform.name}-smtp-0", "postfix", command)
    greetings = dict(line.split("\t", 1) for line in told.splitlines())
    assert greetings.pop("as Postfix").startswith("220 ")
    assert greetings.keys() == {
        "in clear",
        "no certificate",
        "of a foreign authority",
        "of a server",
        "by another name",
    }
    assert not [(way, answer) for way, answer in greetings.items() if "220" in answer or "250" in answer]


def test_deliveries_share_processes_of_the_store(platform: Platform) -> None:
    account = platform.add_mailbox()
    messages = [letter("stranger@outside.test", f"{account.user}@example.test") for _ in range(60)]
    send(platform, messages)
    pattern = re.compile(rf"lmtp\({re.escape(account.user)}\)<(\d+)>.*msgid=(<[^>]+>): stored mail")
    wanted = {message["Message-ID"] for message in messages}

    def processes() -> dict[str, str] | None:
        log = platform.kube.logs(platform.namespace, f"{platform.name}-store-0", "dovecot")
        found = {match[2]: match[1] for match in pattern.finditer(log) if match[2] in wanted}
        return found if found.keys() == wanted else None

    found = eventually(processes, "all are stored", timeout=90, every=1)
    assert len(set(found.values())) <= 25, "as many as deliverers, and not one for each message"
    platform.remove_mailbox(account.user)


def test_smtp_takes_mail_while_a_store_hangs_and_all_of_it_comes_at_once_afterwards(platform: Platform) -> None:
    """It hangs until Postfix gives it up, with more messages than there are deliverers, and goes on at once."""
    account = platform.add_mailbox()
    store = one_store(platform)
    messages = [letter("stranger@outside.test", f"{account.user}@example.test") for _ in range(200)]
    # Its agent stands still as well: it would continue the others after ten seconds.
    with frozen(container_processes(store)["dovecot"]):
        send(platform, messages)
        until = time.monotonic() + 50
        while "Cannot start TLS" not in queue(platform):
            assert time.monotonic() < until, "Postfix gives up a store that hangs"
            assert all(ready(pod) for pod in platform.kube.pods(platform.namespace, "smtp", platform.name))
            assert platform.answer("alice@example.test") == 250
            time.sleep(1)
    stored = partial(stored_messages, platform, account.user)
    eventually(lambda: stored() == len(messages), "all of it comes when the store goes on", timeout=30, every=0.5)
    eventually(lambda: ready(one_store(platform)), "the store is ready", timeout=30)
    drained(platform)
    platform.remove_mailbox(account.user)


def one_store(platform: Platform) -> Object:
    (pod,) = platform.kube.pods(platform.namespace, "store", platform.name)
    return pod


def stored_messages(platform: Platform, user: str) -> int:
    """How many messages lie in an INBOX."""
    find = ["find", f"/srv/mail/{user}/Maildir/new", f"/srv/mail/{user}/Maildir/cur", "-type", "f"]
    return len(platform.kube.exec(platform.namespace, f"{platform.name}-store-0", "dovecot", find).splitlines())


def ready(pod: Object) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions") or ())


def send(platform: Platform, messages: Sequence[EmailMessage]) -> None:
    """Send messages over five sessions."""

    def some(start: int) -> None:
        with platform.smtp() as session:
            for message in messages[start::5]:
                session.send_message(message)

    with ThreadPoolExecutor(5) as sessions:
        list(sessions.map(some, range(5)))
