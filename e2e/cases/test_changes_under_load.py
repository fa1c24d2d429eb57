"""Changes under load: sessions and streams of mail live through changes and certificate renewals.

And children are kept as they should be. The list of acknowledged messages is compared with what the mailbox holds in
the end.
"""

from __future__ import annotations

import smtplib
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from e2e.cases.test_status import children
from e2e.clients import Account
from e2e.kube import GROUP, eventually
from e2e.mail_stream import AcknowledgedMail, Stream
from e2e.platform import HOSTNAME, Platform, manifest

# A reload of Rspamd would cut milter sessions after twice the time that it gives a message.
LONGEST = 18.0


def pass_by(platform: Platform, domain: str) -> None:
    """A domain that comes and goes."""
    platform.kube.apply(manifest("MailDomain", platform.namespace, domain, {"delivery": "Local"}))
    platform.kube.wait_condition("MailDomain", platform.namespace, domain, "Ready")
    assert platform.answer(f"bob@{domain}") == 250
    platform.kube.delete(GROUP, "MailDomain", platform.namespace, domain)
    eventually(lambda: platform.answer(f"bob@{domain}") == 554, "the domain is gone")


@pytest.mark.row("B2")
@pytest.mark.row("B9")
def test_sessions_and_streams_survive_changes_and_a_renewal(
    platform: Platform, bob: Account, certificate: Certificate
) -> None:
    receiver = platform.add_mailbox()
    sender = platform.add_mailbox()
    acknowledged = AcknowledgedMail()
    with (
        replace(bob, ca=platform.ca()).imap() as held,
        Stream(sender, f"{receiver.user}@example.test", acknowledged) as stream,
    ):
        held.select_folder("INBOX")
        pass_by(platform, "passing.test")
        begun = time.monotonic()
        for _ in range(100):
            platform.kube.apply(platform.mailbox("churn", displayName=f"{time.monotonic_ns()}"))
            held.noop()
        certificate.renew()
        eventually(
            lambda: certificate.served(465) == certificate.serial(), "the renewed certificate on 465", timeout=90
        )
        eventually(
            lambda: certificate.served(993) == certificate.serial(), "the renewed certificate on 993", timeout=90
        )
        held.noop()
        assert held.folder_exists("INBOX")
        eventually(lambda: len(acknowledged.message_ids) >= 20, "the stream flows")
        eventually(lambda: time.monotonic() > begun + LONGEST, "whoever is to be cut off has been", timeout=LONGEST + 5)
        assert stream.refusals == [], "nothing was deferred or refused"
        assert stream.reconnects == 0, "the submission session was never dropped"
    acknowledged.check(receiver)
    platform.kube.delete(GROUP, "Mailbox", platform.namespace, "churn")
    platform.remove_mailbox(receiver.user)
    platform.remove_mailbox(sender.user)


@pytest.mark.row("B2")
def test_a_change_does_not_wait_for_the_kubelet(platform: Platform) -> None:
    times = []
    for _ in range(10):
        account = platform.add_mailbox(wait=False)
        begun = time.monotonic()

        def served(account: Account = account) -> bool:
            try:
                account.submission().quit()
            except (smtplib.SMTPException, OSError):
                return False
            return True

        eventually(served, "the new mailbox can log in", timeout=30, every=0.05)
        times.append(time.monotonic() - begun)
        platform.remove_mailbox(account.user)
    # The figure itself is the benchmark's; here it must only be far from the minute that a kubelet takes by itself.
    assert sorted(times)[len(times) // 2] < 10, times


@pytest.mark.row("B1")
def test_drift_of_a_child_is_repaired(platform: Platform) -> None:
    service = f"{platform.name}-smtp"
    platform.kube.patch(
        "v1", "Service", platform.namespace, service, {"spec": {"selector": {"app.kubernetes.io/component": "nothing"}}}
    )

    def repaired() -> bool:
        found = platform.kube.get("v1", "Service", platform.namespace, service)
        return bool(found and found["spec"]["selector"]["app.kubernetes.io/component"] == "smtp")

    eventually(repaired, "the Service is as it was")
    platform.kube.delete("v1", "ConfigMap", platform.namespace, f"{platform.name}-smtp")
    eventually(
        lambda: platform.kube.get("v1", "ConfigMap", platform.namespace, f"{platform.name}-smtp"),
        "the ConfigMap is back",
    )


@pytest.mark.row("B2")
def test_nothing_is_written_at_rest(platform: Platform, rest_seconds: float) -> None:
    platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready")

    def versions() -> dict[str, str]:
        found = {f"{kind}/{name}": version for (kind, name), version in children(platform).items()}
        for kind in ("MailServer", "MailDomain", "Mailbox"):
            for one in platform.kube.objects(GROUP, kind, platform.namespace):
                found[f"{kind}/{one['metadata']['name']}"] = one["metadata"]["resourceVersion"]
        for pod in platform.kube.pods(platform.namespace):
            found[f"Pod/{pod['metadata']['name']}"] = pod["metadata"]["resourceVersion"]
        return found

    def flat() -> dict[str, str] | None:
        first = versions()
        threading.Event().wait(2)
        return first if versions() == first else None

    before = eventually(flat, "the platform comes to rest")
    threading.Event().wait(rest_seconds)
    assert versions() == before


class Certificate:
    """A certificate as cert-manager would keep it: a kubernetes.io/tls Secret that the MailServer names."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        self.platform = platform
        self.folder = folder

    def renew(self) -> None:
        """Write a new key and certificate under the same name, by the same authority."""
        if not (self.folder / "ca.crt").exists():
            self._openssl("-x509", "-subj", "/CN=Case", "-keyout", "ca.key", "-out", "ca.crt")
        name = f"subjectAltName=DNS:{HOSTNAME}"
        signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-addext", name, "-addext", "basicConstraints=CA:FALSE")
        self._openssl("-x509", "-subj", f"/CN={HOSTNAME}", *signed, "-keyout", "tls.key", "-out", "tls.crt")
        self.platform.kube.apply({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {
                "name": "given-tls", "namespace": self.platform.namespace, "labels": {"postboat.dev/watch": "true"},
            },
            "stringData": {name: (self.folder / name).read_text() for name in ("tls.crt", "tls.key")},
        })  # fmt: skip

    def _openssl(self, *words: str) -> None:
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30")
        subprocess.run(["openssl", "req", *key, *words], check=True, capture_output=True, cwd=self.folder)

    def serial(self) -> str:
        return ssl.PEM_cert_to_DER_cert((self.folder / "tls.crt").read_text()).hex()

    def served(self, port: int) -> str:
        service = f"{self.platform.name}-{'smtp' if port == 465 else 'imap'}"
        try:
            return ssl.PEM_cert_to_DER_cert(
                ssl.get_server_certificate((self.platform.service_address(service), port), timeout=5)
            ).hex()
        except OSError as error:
            return str(error)


@pytest.fixture
def certificate(platform: Platform, tmp_path: Path) -> Iterator[Certificate]:
    """The platform with a given certificate instead of the self-signed one, put back afterwards."""
    given = Certificate(platform, tmp_path)
    given.renew()
    platform.kube.patch(
        GROUP, "MailServer", platform.namespace, platform.name, {"spec": {"tls": {"secretName": "given-tls"}}}
    )
    eventually(lambda: given.served(465) == given.serial(), "the given certificate")
    platform.ca_override = (tmp_path / "ca.crt").read_text()
    yield given
    platform.kube.patch(GROUP, "MailServer", platform.namespace, platform.name, {"spec": {"tls": None}})
    platform.ca_override = ""
    platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready")
    platform.kube.delete("v1", "Secret", platform.namespace, "given-tls")
