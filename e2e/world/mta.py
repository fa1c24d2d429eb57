"""The process of a peer: an SMTP server that records, refuses, delays and drops as its folder tells it.

It is started in a place of the outside world as `python -m e2e.world.mta --folder F --address A --ports 25,465`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from typing_extensions import override

IMPLICIT_TLS = 465
MAXIMUM_SIZE = 64 << 20


@dataclass(slots=True)
class Ledger:
    """The folder of the peer: rules come from it, messages go into it."""

    folder: Path
    passwords: dict[str, str]
    received: int = 0
    used: dict[str, int] = field(default_factory=dict)
    asked: WeakKeyDictionary[ssl.SSLObject, str] = field(default_factory=WeakKeyDictionary)

    def rule(self, stage: str, recipient: str = "") -> dict[str, Any] | None:
        """Return the first rule that applies now, and count its use."""
        try:
            rules = json.loads((self.folder / "rules.json").read_text())
        except FileNotFoundError:
            return None
        for number, rule in enumerate(rules):
            if rule["stage"] != stage or rule["recipient"] not in ("", recipient):
                continue
            key = f"{number} {json.dumps(rule, sort_keys=True)}"
            if rule["times"] < 0 or self.used.get(key, 0) < rule["times"]:
                self.used[key] = self.used.get(key, 0) + 1
                return dict(rule)
        return None

    def record(self, server: SMTP, session: Session, envelope: Envelope) -> None:
        self.received += 1
        transport: Any = server.transport
        secured: Any = transport.get_extra_info("ssl_object")
        client: Any = session.peer
        login: Any = session.auth_data
        record = {
            "client": client[0],
            "helo": session.host_name or "",
            "sender": envelope.mail_from or "",
            "recipients": list(envelope.rcpt_tos),
            "tls": str(secured.cipher()[1]) if secured else "",
            "asked": self.asked.get(secured, "") if secured else "",
            "login": login or "",
            "content": base64.b64encode(envelope.original_content or b"").decode(),
        }
        fresh = self.folder / "message.new"
        fresh.write_text(json.dumps(record))
        fresh.replace(self.folder / f"{self.received:06}.message")

    def authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: LoginPassword
    ) -> AuthResult:
        login = data.login.decode()
        with (self.folder / "logins").open("a") as tried:
            tried.write(f"{login}\n")
        good = self.passwords.get(login) == data.password.decode()
        return AuthResult(success=good, handled=False, auth_data=login)


def abort(server: SMTP, *, politely: bool = False) -> None:
    """Close the connection of a server: at once, or after what was written."""
    if isinstance(server.transport, asyncio.WriteTransport):
        (server.transport.close if politely else server.transport.abort)()


class Handler:
    """The answers of the peer at each stage."""

    def __init__(self, ledger: Ledger, *, seven_bits: bool) -> None:
        self.ledger = ledger
        self.seven_bits = seven_bits

    async def judge(self, server: SMTP, stage: str, recipient: str = "") -> str:
        """Apply a rule and return the reply it gives instead of the usual one, or nothing."""
        rule = self.ledger.rule(stage, recipient)
        if rule is None:
            return ""
        await asyncio.sleep(rule["delay"])
        if rule["drop"]:
            abort(server)
            return "421 4.3.2 dropped"
        return str(rule["reply"])

    async def handle_EHLO(  # noqa: N802 -- the name aiosmtpd calls
        self, server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        reply = await self.judge(server, "helo")
        if self.seven_bits:
            responses = [line for line in responses if line[4:] not in ("8BITMIME", "SMTPUTF8")]
        return [reply] if reply else responses

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = await self.judge(server, "mail")
        if not reply:
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return reply or "250 2.1.0 sender ok"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = await self.judge(server, "rcpt", address)
        if not reply:
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(options)
        return reply or "250 2.1.5 recipient ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        rule = self.ledger.rule("message")
        if rule is None or not rule["reply"]:
            self.ledger.record(server, session, envelope)
        if rule is not None:
            await asyncio.sleep(rule["delay"])
            if rule["drop"]:
                abort(server)
        return str(rule["reply"]) if rule and rule["reply"] else f"250 2.0.0 recorded as {self.ledger.received}"


class Server(SMTP):
    """An SMTP server whose greeting and DATA obey rules as well."""

    @override
    async def _handle_client(self) -> None:
        reply = await self.event_handler.judge(self, "connect")
        if reply:
            await self.push(reply)
            abort(self, politely=True)
            return
        await super()._handle_client()

    @override
    async def smtp_DATA(self, arg: str) -> None:
        reply = await self.event_handler.judge(self, "data")
        if reply:
            await self.push(reply)
            return
        await super().smtp_DATA(arg)


def _server(options: argparse.Namespace, port: int, context: ssl.SSLContext | None) -> Server:
    ledger: Ledger = options.ledger
    implicit = port == IMPLICIT_TLS
    return Server(
        Handler(ledger, seven_bits=options.seven_bits),
        data_size_limit=MAXIMUM_SIZE,
        enable_SMTPUTF8=not options.seven_bits,
        hostname=options.name,
        ident="peer",
        timeout=300,
        tls_context=None if implicit else context,
        require_starttls=options.require_tls and not implicit,
        authenticator=ledger.authenticate if ledger.passwords else None,
        auth_required=bool(ledger.passwords),
        auth_require_tls=bool(context) and not implicit,
    )


def _context(folder: Path, certificate: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / f"{certificate}.crt", folder / f"{certificate}.key")
    return context


def _by_name(options: argparse.Namespace) -> ssl.SSLContext:
    """Note the name that a client asks for (SNI, RFC 6066); with `--by-name`, others get another certificate."""
    own = _context(options.folder, "tls")
    shown = _context(options.folder, "other") if options.by_name else own

    def choose(session: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        options.ledger.asked[session] = name or ""
        if name == options.name:
            session.context = own

    shown.sni_callback = choose
    return shown


async def serve(options: argparse.Namespace) -> None:
    context = _by_name(options) if options.tls else None
    loop = asyncio.get_running_loop()
    for port in options.ports:
        tls = context if port == IMPLICIT_TLS else None
        await loop.create_server(lambda port=port: _server(options, port, context), options.address, port, ssl=tls)
    (options.folder / "ready").touch()
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="A mail server of the outside world.")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--ports", type=lambda text: [int(port) for port in text.split(",")], default=[25])
    parser.add_argument("--tls", action="store_true", help="offer STARTTLS, and TLS at once on port 465")
    parser.add_argument("--by-name", action="store_true", help="show the certificate to whoever asks for the name only")
    parser.add_argument("--require-tls", action="store_true", help="refuse mail without STARTTLS")
    parser.add_argument("--seven-bits", action="store_true", help="offer neither 8BITMIME nor SMTPUTF8")
    options = parser.parse_args()
    passwords = options.folder / "passwords.json"
    logins = json.loads(passwords.read_text()) if passwords.exists() else {}
    options.ledger = Ledger(options.folder, logins)
    asyncio.run(serve(options))


if __name__ == "__main__":
    main()
