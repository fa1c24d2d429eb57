"""A mail server elsewhere: the test's hand on a peer process that records what it receives and refuses on demand.

Both sides meet in a folder: `rules.json` tells the process what to refuse, delay or drop; each message becomes a file.
"""

from __future__ import annotations

import base64
import email
import email.message
import email.policy
import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

Stage = Literal["connect", "helo", "mail", "rcpt", "data", "message"]


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens at one stage of the dialogue: a reply instead of 250, a delay, the end of the connection."""

    stage: Stage
    reply: str = ""
    delay: float = 0.0
    drop: bool = False
    times: int = -1
    recipient: str = ""


@dataclass(frozen=True, slots=True)
class Received:
    """One message as a peer received it."""

    client: str
    helo: str
    sender: str
    recipients: tuple[str, ...]
    tls: str
    asked: str
    login: str
    content: bytes

    @property
    def message(self) -> email.message.EmailMessage:
        return email.message_from_bytes(self.content, policy=email.policy.default)


def _read(path: Path) -> Received:
    record = json.loads(path.read_text())
    record["content"] = base64.b64decode(record["content"])
    record["recipients"] = tuple(record["recipients"])
    return Received(**record)


@dataclass(slots=True)
class Peer:
    """A running peer."""

    name: str
    address: str
    folder: Path
    process: subprocess.Popen[bytes]
    rules: list[Rule] = field(default_factory=list)
    domain: str = ""

    @property
    def authority(self) -> Path:
        """The peer's self-signed certificate."""
        return self.folder / "tls.crt"

    def recipient(self, name: str) -> str:
        """An address in the domain that the peer receives for."""
        return f"{name}@{self.domain}"

    def refuse(self, reply: str, *, at: Stage = "rcpt", times: int = -1, recipient: str = "") -> None:
        """Answer with a 4xx or 5xx: always, or the next `times` times, or for one recipient only."""
        self._add(Rule(at, reply=reply, times=times, recipient=recipient))

    def delay(self, seconds: float, *, at: Stage = "message", times: int = -1) -> None:
        """Let a client wait for an answer."""
        self._add(Rule(at, delay=seconds, times=times))

    def drop(self, *, at: Stage = "message", times: int = -1) -> None:
        """Close the connection instead of an answer; at `message` the client never learns that it was recorded."""
        self._add(Rule(at, drop=True, times=times))

    def accept(self) -> None:
        """Forget every rule."""
        self.rules.clear()
        self._write()

    def _add(self, rule: Rule) -> None:
        self.rules.append(rule)
        self._write()

    def _write(self) -> None:
        fresh = self.folder / "rules.new"
        fresh.write_text(json.dumps([asdict(rule) for rule in self.rules]))
        fresh.replace(self.folder / "rules.json")

    def messages(self) -> list[Received]:
        """Return what was received, in order."""
        return [_read(path) for path in sorted(self.folder.glob("*.message"))]

    def logins(self) -> list[str]:
        """Return the user names of all logins that were tried, in order."""
        tried = self.folder / "logins"
        return tried.read_text().splitlines() if tried.exists() else []

    def forget(self) -> None:
        """Forget what was received."""
        for path in self.folder.glob("*.message"):
            path.unlink()

    def wait(
        self, count: int = 1, *, where: Callable[[Received], bool] = lambda _: True, seconds: float = 120
    ) -> list[Received]:
        """Wait until so many messages came, and return them."""
        deadline = time.monotonic() + seconds
        while True:
            found = [message for message in self.messages() if where(message)]
            if len(found) >= count:
                return found
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} received {len(found)} of {count} messages within {seconds:.0f} s")
            time.sleep(0.1)

    def stop(self) -> None:
        """End the process: from now on connections are refused."""
        self.process.terminate()
        self.process.wait(10)
