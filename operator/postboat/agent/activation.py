"""Putting what is mounted in force: read, update tables, stage, validate, switch, and do the least that is needed.

Whatever goes wrong leaves the daemon with what it had and a word in the status; nothing here can end the agent.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from typing import TYPE_CHECKING

from postboat.agent import mount as volume
from postboat.agent.errors import ActivationError, Failure
from postboat.agent.inotify import Watch
from postboat.agent.manifest import Effect
from postboat.agent.tables import Directory

if TYPE_CHECKING:
    from pathlib import Path

    from postboat.agent.daemons.base import Daemon
    from postboat.agent.manifest import Manifest
    from postboat.agent.mount import Mount
    from postboat.agent.stage import Generation, Stage
    from postboat.agent.status import Status
    from postboat.agent.supervisor import Supervisor

log = logging.getLogger(__name__)

POLL = 2.0  # seconds; inotify tells at once, this is for what it cannot tell
RETRY = 10.0  # seconds after a failure that may pass by itself
_SETTLE = 15.0  # seconds in which a daemon must answer again after it was told to reload


class Activator:
    """Follows the mounted folder and keeps its content in force."""

    def __init__(self, root: Path, stage: Stage, daemon: Daemon, supervisor: Supervisor, status: Status) -> None:
        self._root = root
        self._stage = stage
        self._daemon = daemon
        self._supervisor = supervisor
        self._status = status
        self._directory = Directory(daemon.drivers())
        self._current: Generation | None = None
        self._refused: Generation | None = None
        self._thread = threading.Thread(target=self._follow, name="activator", daemon=True)

    def start(self) -> None:
        """Follow the folder in a thread that ends with the process."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the folder is still being followed."""
        return self._thread.is_alive()

    def _follow(self) -> None:
        watch = Watch(self._root)
        seen: object = ()
        retry = 0.0
        while True:
            mark = volume.fingerprint(self._root)
            if mark != seen or (retry and time.monotonic() >= retry):
                seen = mark
                retry = 0.0 if self.activate() else time.monotonic() + RETRY
            watch.wait(POLL)

    def activate(self) -> bool:
        """Try to put the mount in force; return False when trying again may help though nothing changes."""
        started = time.monotonic()
        try:
            mount = volume.read(self._root)
            self._status.seen(mount.digest)
            self._put_in_force(mount)
        except ActivationError as error:
            log.error("%s: %s", error.failure, error)  # noqa: TRY400  the traceback of an expected failure says nothing
            self._status.failed(error.failure)
            return self._keep_going(error.failure)
        except Exception:
            log.exception("activation failed")
            self._status.failed(Failure.DAEMON_FAILED)
            return False
        seconds = time.monotonic() - started
        log.info("%.12s in force after %.3f s", mount.digest, seconds)
        self._status.activated(mount.digest, seconds)
        return True

    def _put_in_force(self, mount: Mount) -> None:
        manifest = mount.manifest()
        reopen = self._directory.apply(manifest.tables, mount.shards)
        generation = self._stage.plan(mount, manifest)
        if self._current is None:
            self._validate(generation, mount, manifest)
            self._switch(generation)
            self._supervisor.begin()
            return
        try:
            self._change_to(generation, mount, manifest, reopen=reopen)
        except ActivationError:
            if reopen:  # the tables are in force all the same
                self._carry_out(Effect.RELOAD)
            raise

    def _change_to(self, generation: Generation, mount: Mount, manifest: Manifest, *, reopen: bool) -> None:
        """Go over from the current generation, or stay with it and raise ActivationError."""
        assert self._current is not None  # noqa: S101 -- whoever has none begins
        effect = self._current.effect_of_change(generation)
        if reopen and effect in (None, Effect.LIVE):
            self._carry_out(Effect.RELOAD)
        if effect is None:
            return
        if self._refused and self._refused.effect_of_change(generation) is None:
            raise ActivationError(Failure.INVALID_CONFIGURATION, "the files are those that were refused before")
        self._validate(generation, mount, manifest)
        previous, answered = self._current, effect > Effect.LIVE and self._daemon.ready()
        before = self._daemon.serving()
        self._switch(generation)
        self._carry_out(effect)
        if answered and not self._settled(before):
            self._switch(previous)
            self._carry_out(effect)
            self._refused = generation
            raise ActivationError(Failure.INVALID_CONFIGURATION, "the daemon stopped answering; went back")

    def _validate(self, generation: Generation, mount: Mount, manifest: Manifest) -> None:
        """Write a generation and have the daemon's own tools judge it; raise ActivationError when they refuse it."""
        self._stage.write(generation, mount, manifest)
        rehearsal = self._stage.write_rehearsal(generation)
        try:
            complaint = self._daemon.complaint(rehearsal)
        finally:
            shutil.rmtree(rehearsal, ignore_errors=True)
        if complaint:
            self._refused = generation
            self._stage.prune(self._current, self._stage.inherited())
            raise ActivationError(Failure.INVALID_CONFIGURATION, complaint)

    def _switch(self, generation: Generation) -> None:
        self._stage.activate(generation)
        self._stage.prune(generation, self._current)
        self._current, self._refused = generation, None

    def _carry_out(self, effect: Effect) -> None:
        number = self._daemon.reload_signal
        if effect is Effect.RESTART or (effect is Effect.RELOAD and number is None):
            self._supervisor.restart()
        elif effect is Effect.RELOAD and number is not None:
            self._supervisor.reload(number)

    def _settled(self, before: frozenset[int]) -> bool:
        """Wait until the daemon answers with its new configuration; a moment passes before it can have read it.

        Where processes serve with what they began with, those of `before` do not count.
        """
        deadline = time.monotonic() + _SETTLE
        while True:
            time.sleep(0.1)
            begun = not before or bool(self._daemon.serving() - before)
            if self._supervisor.process and begun and self._daemon.ready():
                return True
            if time.monotonic() >= deadline:
                return False

    def _keep_going(self, failure: Failure) -> bool:
        """After a failure at the start, go on with what an earlier run of the container had in force."""
        if self._current is None:
            inherited = self._stage.inherited()
            if inherited and failure is Failure.INVALID_CONFIGURATION:
                log.warning("going on with %.12s", inherited.digest)
                self._current = inherited
                self._status.inherited(inherited.digest)
                self._supervisor.begin()
        return failure is not Failure.TABLE_UPDATE_FAILED
