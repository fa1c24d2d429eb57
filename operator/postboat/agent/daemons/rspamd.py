"""Rspamd: filter, milter and controller in one main process.

SIGTERM waits up to a minute for Postfix to close its idle milter connections; SIGINT does not wait.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, ClassVar

from postboat.agent import ports
from postboat.agent.children import command_line, descendants
from postboat.agent.daemons.base import Daemon, override
from postboat.agent.probe import Probe, Pulse

if TYPE_CHECKING:
    from pathlib import Path

    from postboat.agent.children import Child
    from postboat.agent.validation import Effort

_CONTROLLER = ports.CONTROLLER.number
_MILTER = ports.MILTER.number
# SMFIC_OPTNEG of version 6 (libmilter/docs): no actions, no steps left out.
_NEGOTIATION = bytes((0, 0, 0, 13)) + b"O" + bytes((0, 0, 0, 6)) + bytes(8)
_IN_WORK = 10.0
_WORKER = b"rspamd_proxy process"


class Rspamd(Daemon):
    """Rspamd with its configuration below the active folder."""

    name: ClassVar[str] = "rspamd"
    stop_signals: ClassVar[tuple[int, ...]] = (signal.SIGTERM, signal.SIGINT)

    @override
    def command(self) -> tuple[str, ...]:
        """Return Rspamd in the foreground."""
        return ("rspamd", "-f", "-c", str(self.active / "rspamd.conf"), f"--var=LOCAL_CONFDIR={self.active}")

    @override
    def complaint(self, staged: Path, effort: Effort) -> str:
        """Run configtest, which checks the syntax but not the values."""
        configuration = str(staged / "rspamd.conf")
        return self.check(effort, "rspamadm", f"--var=LOCAL_CONFDIR={staged}", "configtest", "-c", configuration)

    @override
    def probes(self) -> tuple[Probe, ...]:
        """Return the ping of the controller, the one page without a password."""
        return (Probe(_CONTROLLER, (b"pong",), ask=b"GET /ping HTTP/1.0\r\n\r\n", anywhere=True),)

    @override
    def pulses(self) -> tuple[Pulse, ...]:
        """Return the controller, and the milter workers by the start of a milter session."""
        (ping,) = self.probes()
        return (
            Pulse("controller", ping, ("controller process",)),
            Pulse("milter", Probe(_MILTER, (b"",), ask=_NEGOTIATION), ("rspamd_proxy process",), crowded=True),
        )

    @override
    def serving(self) -> frozenset[int]:
        """Return the ids of the milter workers: a reload starts new ones, and the old ones finish their work."""
        return frozenset(process.pid for process in descendants() if _WORKER in command_line(process.pid))

    @override
    def stop(self, main: Child, seconds: float) -> None:
        """Let messages in work end, up to 10 s; Postfix keeps idle connections open for longer."""
        super().stop(main, min(seconds, _IN_WORK))
