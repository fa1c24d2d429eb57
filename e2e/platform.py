"""One mail platform under test: a namespace, a MailServer, domains and mailboxes.

And the ways to change and reach them. Cases share a platform and change it by what they add themselves, under names
of their own, so that they do not disturb each other.
"""

from __future__ import annotations

import itertools
import secrets
import smtplib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from e2e.clients import Account, Directory, rcpt
from e2e.kube import GROUP, Kube, Object, eventually

HOSTNAME = "mail.example.test"
PASSWORDS = "passwords"  # the Secret that holds all passwords of a platform


def manifest(kind: str, namespace: str, name: str, spec: Mapping[str, Any]) -> Object:
    """A postboat object."""
    return {"apiVersion": GROUP, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": dict(spec)}


def password_secret(namespace: str, name: str, passwords: Mapping[str, str]) -> Object:
    """A Secret of passwords whose changes count at once."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": {"postboat.dev/watch": "true"}},
        "stringData": dict(passwords),
    }


# Several platforms stand on one small node, and each asks for little of it.
_LITTLE = {"resources": {"requests": {"cpu": "10m", "memory": "64Mi"}}}
PODS = dict.fromkeys(("smtp", "imap", "store", "filter", "valkey"), _LITTLE)


@dataclass
class Platform:
    """A MailServer and all that belongs to it, as its administrator and its users see it."""

    kube: Kube
    directory: Directory
    namespace: str = "e2e"
    name: str = "mail"
    hostname: str = HOSTNAME
    domains: Sequence[str] = ("example.test", "example.org")
    server: Mapping[str, Any] = field(default_factory=dict)
    ca_override: str = ""
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def create(self, mailboxes: Mapping[str, str], timeout: float = 300) -> None:
        """Apply everything at once, in an order that no human would choose, and wait until it is all in force."""
        namespace = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": self.namespace,
                "labels": {
                    "pod-security.kubernetes.io/enforce": "baseline",
                    "pod-security.kubernetes.io/warn": "restricted",
                },
            },
        }
        self.kube.apply(namespace)
        self.kube.apply(
            *(self.mailbox(user) for user in mailboxes),
            *(manifest("MailDomain", self.namespace, domain, {"delivery": "Local"}) for domain in self.domains),
            manifest("MailServer", self.namespace, self.name, {"hostname": self.hostname, "pods": PODS, **self.server}),
            *(
                password_secret(self.namespace, f"{user}-password", {"password": word})
                for user, word in mailboxes.items()
            ),
        )
        self.kube.wait_condition("MailServer", self.namespace, self.name, "Ready", timeout=timeout)
        for domain in self.domains:
            self.kube.wait_condition("MailDomain", self.namespace, domain, "Ready")
        for user in mailboxes:
            self.kube.wait_condition("Mailbox", self.namespace, user, "Ready")
        self.locate()

    def mailbox(self, user: str, **spec: Any) -> Object:  # noqa: ANN401
        """A Mailbox object whose password lies in a Secret of its own."""
        reference = {"name": f"{user}-password", "key": "password"}
        return manifest("Mailbox", self.namespace, user, {"type": "User", "passwordSecret": reference, **spec})

    def locate(self) -> None:
        """Tell this process's name look-ups where the platform's client Services are."""
        for service, smtp in ((f"{self.name}-smtp", True), (f"{self.name}-imap", False)):
            self.directory.addresses[self.hostname, smtp] = self.service_address(service)

    def service_address(self, service: str) -> str:
        found = self.kube.get("v1", "Service", self.namespace, service)
        assert found is not None, f"no Service {service}"
        return str(found["spec"]["clusterIP"])

    def ca(self) -> str:
        """The certificate authority that clients have to trust, as PEM."""
        return self.ca_override or self.kube.secret(self.namespace, f"{self.name}-selfsigned")["ca.crt"].decode()

    def account(self, user: str, password: str) -> Account:
        return Account(self.hostname, user, password, self.ca())

    def add_mailbox(self, user: str = "", *, wait: bool = True, **spec: Any) -> Account:  # noqa: ANN401
        """A new mailbox with a new password, in force unless told not to wait."""
        user = user or f"user{next(self._numbers)}-{secrets.token_hex(2)}"
        password = secrets.token_urlsafe(12)
        self.kube.apply(password_secret(self.namespace, f"{user}-password", {"password": password}))
        self.kube.apply(self.mailbox(user, **spec))
        if wait:
            self.kube.wait_condition("Mailbox", self.namespace, user, "Ready", timeout=90)
        return self.account(user, password)

    def remove_mailbox(self, user: str) -> None:
        self.kube.delete(GROUP, "Mailbox", self.namespace, user)
        self.kube.delete("v1", "Secret", self.namespace, f"{user}-password")

    def answer(self, recipient: str) -> int:
        """The reply code to RCPT in a session of its own: smtpd remembers the last answer for the session."""
        try:
            with self.smtp() as session:
                return rcpt(session, recipient)[0]
        except (smtplib.SMTPServerDisconnected, ConnectionError) as error:
            raise AssertionError(f"no answer: {error!r}") from error

    def smtp(self, port: int = 25) -> smtplib.SMTP:
        """A plain SMTP session from this node to the public port."""
        return smtplib.SMTP(self.hostname, port, timeout=20, local_hostname="client.outside.test")

    def restart(self, pod: str) -> None:
        """Take a pod away and wait for the one that comes instead."""
        before = self.kube.get("v1", "Pod", self.namespace, pod)
        assert before is not None
        self.kube.delete("v1", "Pod", self.namespace, pod)

        def look() -> bool:
            found = self.kube.get("v1", "Pod", self.namespace, pod)
            if found is None or found["metadata"]["uid"] == before["metadata"]["uid"]:
                return False
            conditions = found["status"].get("conditions") or []
            return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

        eventually(look, f"another {pod}", timeout=120)
