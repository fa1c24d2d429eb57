"""What the operator tells of volumes that nobody serves: against a real API server."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from postboat.agent.ports import INVENTORY
from postboat.cluster.types import EVENT, SECRET, ResourceType

from .platform import eventually
from .stage import RESOURCES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from postboat.cluster.types import Json

    from .platform import Platform

pytestmark = [pytest.mark.api, pytest.mark.timeout(300)]
CLAIM = ResourceType("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")


def told(platform: Platform, type_: str) -> Json:
    """Give a condition of the MailServer, as far as there is one."""
    status = (platform.get("MailServer", "mail") or {}).get("status") or {}
    return next((one for one in status.get("conditions") or () if one["type"] == type_), {"status": "", "reason": ""})


def events(platform: Platform) -> list[tuple[str, str]]:
    """Give type and reason of the Events about the MailServer."""
    found = platform.client.pages(EVENT, platform.namespace)
    return [(event["type"], event["reason"]) for event in found if event["regarding"]["kind"] == "MailServer"]


@pytest.mark.parametrize("label", ["postboat.dev/server", "app.kubernetes.io/instance"])
def test_a_claim_that_lost_its_pod_is_told_until_it_has_one_or_is_gone(platform: Platform, label: str) -> None:
    """The queue of the last pod stays on its claim when there are fewer pods; nobody delivers it."""
    name = "queue-mail-smtp-1"
    labels = {"app.kubernetes.io/name": "postboat", "app.kubernetes.io/component": "smtp", label: "mail"}
    meta = {"namespace": platform.namespace, "name": name, "labels": labels}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    eventually(lambda: told(platform, "ClaimsServed")["status"] == "True", 10)
    platform.put("MailServer", "mail", hostname="mail.example.test", smtp={"replicas": 2})
    platform.client.create(CLAIM, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec})
    eventually(lambda: told(platform, "WorkloadsReady")["status"] == "False")
    assert told(platform, "ClaimsServed")["status"] == "True", "its pod is to come"
    platform.put("MailServer", "mail", hostname="mail.example.test", smtp={"replicas": 1})
    eventually(lambda: told(platform, "ClaimsServed")["reason"] == "ClaimWithoutPod", 10)
    assert name in told(platform, "ClaimsServed")["message"]
    eventually(lambda: platform.ready("MailServer", "mail"))
    eventually(lambda: ("Warning", "ClaimWithoutPod") in events(platform), 10)
    platform.settled()
    platform.put("MailServer", "mail", hostname="mail.example.test", smtp={"replicas": 2})
    eventually(lambda: told(platform, "ClaimsServed")["status"] == "True", 10)
    platform.put("MailServer", "mail", hostname="mail.example.test", smtp={"replicas": 1})
    eventually(lambda: told(platform, "ClaimsServed")["status"] == "False", 10)
    platform.client.merge(CLAIM, platform.namespace, name, {"metadata": {"finalizers": None}})
    platform.client.delete(CLAIM, platform.namespace, name)
    eventually(lambda: told(platform, "ClaimsServed")["status"] == "True", 10)


class Store:
    """The operator's side of one store: a volume, and what lies on it."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        raw = platform.client.get(SECRET, platform.namespace, "mail-internal")
        assert raw is not None
        for name in ("store.crt", "store.key"):
            (folder / name).write_bytes(base64.b64decode(raw["data"][name]))
        self.run = 0
        self.volume = ""
        self.mail: dict[str, int] = {}
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Keep the test's output clean."""

            def do_GET(self) -> None:
                body = json.dumps(store.page()).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = ThreadingHTTPServer((platform.pods.address("store"), INVENTORY.number), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "store.crt", folder / "store.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def page(self) -> Json:
        mailboxes = [[user, 1000 * messages, messages, 1] for user, messages in self.mail.items()]
        return {"epoch": f"run {self.run}", "number": 1, "more": False, "volume": self.volume, "mailboxes": mailboxes}

    def begin(self, volume: str, **mail: int) -> None:
        """Let the pod be made anew on a volume."""
        self.volume, self.mail = volume, mail
        self.run += 1

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def store(platform: Platform, tmp_path: Path) -> Iterator[Store]:
    made = Store(platform, tmp_path)
    yield made
    made.stop()


def usage(platform: Platform, name: str) -> int | None:
    """Give how many messages the status of a Mailbox tells."""
    return (((platform.get("Mailbox", name) or {}).get("status") or {}).get("usage") or {}).get("messages")


def test_a_store_that_comes_back_empty_is_told_until_somebody_accepts_it(platform: Platform, store: Store) -> None:
    for name in ("alice", "bob", "carol"):
        platform.mailbox(name)
    store.begin("one", alice=3, bob=4)
    eventually(lambda: (usage(platform, "alice"), usage(platform, "bob")) == (3, 4))
    eventually(lambda: told(platform, "MailPresent")["status"] == "True", 10)
    platform.settled()
    # Waiting mail may be delivered before the operator looks.
    store.begin("two", alice=1)
    eventually(lambda: told(platform, "MailPresent")["reason"] == "StoreEmpty", 20)
    eventually(lambda: usage(platform, "alice") == 1)
    said = told(platform, "MailPresent")["message"]
    for part in ("store 0", "2 mailboxes", "6 messages", "mail-mail-store-0", "postboat.dev/accept-volumes=two"):
        assert part in said
    eventually(lambda: ("Warning", "StoreEmpty") in events(platform), 10)
    assert platform.ready("MailServer", "mail")
    platform.settled()
    assert platform.operators[0].stop() in {0, -15}
    platform.operators.append(platform.operator(identity="two"))
    # The statuses are still the first operator's: a mailbox that is placed tells that the second has heard the store.
    platform.mailbox("dave")
    eventually(lambda: platform.ready("Mailbox", "dave"))
    platform.settled()
    assert told(platform, "MailPresent")["message"] == said, "a restart forgets nothing"
    platform.client.merge(
        RESOURCES["MailServer"],
        platform.namespace,
        "mail",
        {"metadata": {"annotations": {"postboat.dev/accept-volumes": "two"}}},
    )
    eventually(lambda: told(platform, "MailPresent")["status"] == "True", 10)
    store.begin("three")
    eventually(lambda: told(platform, "MailPresent")["status"] == "False", 20)
    store.begin("two", alice=1)
    eventually(lambda: told(platform, "MailPresent")["status"] == "True", 20)


def test_a_new_store_misses_nothing(platform: Platform, store: Store) -> None:
    platform.mailbox("alice")
    store.begin("one")
    eventually(lambda: told(platform, "MailPresent")["status"] == "True")
    store.begin("two")
    store.mail = {"alice": 2}
    eventually(lambda: usage(platform, "alice") == 2)
    store.begin("two", alice=0)
    eventually(lambda: usage(platform, "alice") == 0)
    assert told(platform, "MailPresent")["status"] == "True", "what a user deletes is not missing"
