"""Valkey: keeps what Rspamd has learned, and saves it when it is stopped.

It cannot reload: a changed configuration restarts it, which takes as long as reading its file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from postboat.agent import ports
from postboat.agent.daemons.base import Daemon, override
from postboat.agent.probe import Probe, Pulse

if TYPE_CHECKING:
    from pathlib import Path

    from postboat.agent.children import Child
    from postboat.agent.validation import Effort

_PORT = ports.VALKEY.number
_SAVING = 60.0


class Valkey(Daemon):
    """Valkey with its append-only file on a volume."""

    name: ClassVar[str] = "valkey"
    reload_signal: ClassVar[int | None] = None

    @override
    def command(self) -> tuple[str, ...]:
        """Return the server; it stays in the foreground unless its configuration says otherwise."""
        return ("valkey-server", str(self.active / "valkey.conf"))

    @override
    def complaint(self, staged: Path, effort: Effort) -> str:
        """Return "": the server has no mode that checks its configuration, which the operator alone writes."""
        del staged, effort
        return ""

    @override
    def probes(self) -> tuple[Probe, ...]:
        """Return the ping; a demand for a password is a good answer too, `-LOADING` is not."""
        return (Probe(_PORT, (b"+PONG", b"-NOAUTH"), ask=b"PING\r\n"),)

    @override
    def pulses(self) -> tuple[Pulse, ...]:
        """Return the server; one that is still loading its file answers too."""
        return (Pulse("valkey", Probe(_PORT, (b"+", b"-"), ask=b"PING\r\n"), ("valkey-server",)),)

    @override
    def stop(self, main: Child, seconds: float) -> None:
        """Let it save, for at least 60 s."""
        super().stop(main, max(seconds, _SAVING))
