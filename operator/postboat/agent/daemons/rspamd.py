"""Rspamd: the filter, milter and controller in one main process.

Facts behind it: SIGTERM waits up to a minute for Postfix to let its idle milter connections go, SIGINT does not wait.
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
        """Ask configtest, which checks the syntax; values are the operator's to get right."""
        configuration = str(staged / "rspamd.conf")
        return self.check(effort, "rspamadm", f"--var=LOCAL_CONFDIR={staged}", "configtest", "-c", configuration)

    @override
    def probes(self) -> tuple[Probe, ...]:
        """Return the controller's ping, the one page that needs no password."""
        return (Probe(_CONTROLLER, (b"pong",), ask=b"GET /ping HTTP/1.0\r\n\r\n", anywhere=True),)

    @override
    def pulses(self) -> tuple[Pulse, ...]:
        """Return the controller, and the milter workers by the beginning of a milter session."""
        (ping,) = self.probes()
        return (
            Pulse("controller", ping, ("controller process",)),
            Pulse("milter", Probe(_MILTER, (b"",), ask=_NEGOTIATION), ("rspamd_proxy process",), crowded=True),
        )

    @override
    def serving(self) -> frozenset[int]:
        """Return the milter workers: a reload leaves the old ones to their work and begins new ones."""
        return frozenset(process.pid for process in descendants() if _WORKER in command_line(process.pid))

    @override
    def stop(self, main: Child, seconds: float) -> None:
        """Let the messages in work end; what waits longer is only Postfix holding its connections open."""
        super().stop(main, min(seconds, _IN_WORK))
