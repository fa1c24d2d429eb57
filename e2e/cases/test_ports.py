"""Ports and TLS: a real client on each port, AUTH only after TLS, and a TLS policy that a strict checker passes.

The certificate is checked by name and authority in every session.
"""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from sievelib.managesieve import Client as SieveClient

from e2e.clients import Account, find_message, letter, wait_for_message
from e2e.kube import eventually
from e2e.platform import Platform

STARTTLS = {25: "smtp", 587: "smtp", 143: "imap", 110: "pop3"}
IMPLICIT = (465, 993, 995)


@pytest.mark.row("P1")
@pytest.mark.row("P2")
@pytest.mark.parametrize("port", [587, 465])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_submission(alice: Account, bob: Account, port: int, mechanism: str) -> None:
    message = letter("alice@example.test", "bob@example.org", subject=f"{port} {mechanism}")
    with alice.secure(port) as session:
        session.ehlo()
        assert set(session.esmtp_features["auth"].split()) == {"PLAIN", "LOGIN"}
        session.user, session.password = alice.user, alice.password
        session.auth(mechanism, session.auth_plain if mechanism == "PLAIN" else session.auth_login)
        session.send_message(message)
    wait_for_message(bob, message["Message-ID"])


@pytest.mark.row("P1")
def test_port_25_takes_mail_and_offers_no_auth(platform: Platform, alice: Account) -> None:
    message = letter("stranger@outside.test", "alice@example.test")
    with platform.smtp() as session:
        session.starttls(context=alice.context())
        session.ehlo()
        assert "auth" not in session.esmtp_features
        assert not {"vrfy", "etrn"} & set(session.esmtp_features)
        assert session.docmd("VRFY alice")[0] in {502, 252, 550}
        # Nobody outside has mail tried again, least of all that which waits for a store.
        assert {session.docmd(f"ETRN {name}")[0] for name in ("example.test", "mailbox.invalid")} == {554}
        assert session.docmd("AUTH PLAIN AGFsaWNlAHg=")[0] == 503
        session.send_message(message)
    wait_for_message(alice, message["Message-ID"])


@pytest.mark.row("P1")
@pytest.mark.parametrize("port", [143, 993])
def test_imap(platform: Platform, alice: Account, port: int) -> None:
    message = letter("stranger@outside.test", "alice@example.test")
    with platform.smtp() as session:
        session.send_message(message)
    with alice.imap(port) as imap:
        eventually(lambda: find_message(imap, message["Message-ID"]), "the message")


@pytest.mark.row("P1")
@pytest.mark.parametrize("port", [110, 995])
def test_pop3(platform: Platform, alice: Account, port: int) -> None:
    message = letter("stranger@outside.test", "alice@example.test")
    with platform.smtp() as session:
        session.send_message(message)
    wait_for_message(alice, message["Message-ID"])
    pop3 = alice.pop3(port)
    count = pop3.stat()[0]
    newest = [b"\n".join(pop3.retr(number)[1]) for number in range(max(1, count - 4), count + 1)]
    pop3.quit()
    assert [one for one in newest if message["Message-ID"].encode() in one], "it is among the newest"


@pytest.mark.row("P1")
def test_managesieve(alice: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = tmp_path / "ca.crt"
    authority.write_text(alice.ca)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    monkeypatch.setattr(SieveClient, "read_timeout", 30)
    client = SieveClient(alice.hostname)
    assert client.connect(alice.user, alice.password, starttls=True)
    assert client.putscript(
        "e2e", 'require ["fileinto"];\nif header :contains "subject" "nothing" { fileinto "Trash"; }\n'
    )
    assert not client.putscript("broken", "this is no Sieve;")
    assert "e2e" in client.listscripts()[1]
    assert client.deletescript("e2e")
    client.logout()
    stranger = SieveClient(alice.hostname)
    assert not stranger.connect(alice.user, "wrong password", starttls=True)


@pytest.mark.row("P2")
def test_managesieve_offers_no_login_before_tls(platform: Platform) -> None:
    with socket.create_connection((platform.service_address(f"{platform.name}-imap"), 4190), timeout=20) as plain:
        capabilities = read_capabilities(plain.makefile("rb"))
    assert b'"STARTTLS"' in capabilities
    assert b'"SASL" ""' in capabilities


def read_capabilities(stream: Iterable[bytes]) -> bytes:
    """The lines of a ManageSieve greeting, up to its OK."""
    lines = []
    for line in stream:
        lines.append(line)
        if line.startswith(b"OK"):
            break
    return b"".join(lines)


@pytest.mark.row("P1")
@pytest.mark.parametrize("port", [25, 587, 465, 143, 993, 110, 995])
def test_tls_policy_is_mozilla_intermediate(platform: Platform, port: int) -> None:
    service = platform.service_address(f"{platform.name}-{'smtp' if port in {25, 465, 587} else 'imap'}")
    starttls = [f"--starttls={STARTTLS[port]}"] if port in STARTTLS else []
    command = [sys.executable, "-m", "sslyze", "--mozilla_config=intermediate", *starttls, f"{service}:{port}"]

    def scan() -> str:
        checked = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
        assert "did not run successfully" not in checked.stdout, "a scan with gaps says nothing"
        return checked.stdout.partition("COMPLIANCE AGAINST")[2]

    told = eventually(scan, "a whole scan", timeout=300)
    findings = re.findall(r"^\s+\* (.+)$", told, re.MULTILINE)
    assert findings or "OK - Compliant" in told, told
    # A certificate of a private authority never validates against public trust stores; that is not the policy.
    serious = [finding for finding in findings if not finding.startswith("certificate")]
    assert not serious, told


@pytest.mark.row("P1")
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("port", [465, 993, 995])
def test_old_tls_is_refused(platform: Platform, port: int) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with (
        pytest.raises((ssl.SSLError, OSError)),
        socket.create_connection((platform.hostname, port), timeout=20) as plain,
    ):
        context.wrap_socket(plain, server_hostname=platform.hostname)
