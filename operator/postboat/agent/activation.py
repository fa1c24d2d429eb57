"""Putting what is mounted in force: read, update tables, stage, validate, switch, and do the least that is needed.

Whatever goes wrong leaves the daemon with what it had and a word in the status; nothing here can end the agent.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from postboat.agent import mount as volume
from postboat.agent.errors import ActivationError, Failure
from postboat.agent.inotify import Watch
from postboat.agent.manifest import Effect
from postboat.agent.tables import Directory
from postboat.agent.validation import Pauses, effort

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
PATIENCE = 900.0  # seconds from the first whole mount within which something must be in force
_SETTLE = 15.0  # seconds in which a daemon must answer again after it was told to reload
_SOON = (2.0, 60.0)  # seconds, shortest and longest, between tries of what may pass by itself
_LATER = (60.0, 600.0)  # and between those of what was refused: a full disk, too, makes a validator refuse


@dataclass(slots=True)
class _Doubt:
    """A generation that is not in force: how often its validation came to no verdict, and when it may be tried again.

    `refused` says that it may not be tried with each change of the mount, which may be one of tables only.
    """

    generation: Generation
    interrupted: int = 0
    refused: bool = False
    due: float = 0.0


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
        self._doubt: _Doubt | None = None
        self._soon, self._later = Pauses(*_SOON), Pauses(*_LATER)
        self._waiting_since = 0.0
        self._thread = threading.Thread(target=self._follow, name="activator", daemon=True)

    def start(self) -> None:
        """Follow the folder in a thread that ends with the process."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the folder is still being followed, and what was mounted did not wait too long to come in force."""
        since = self._waiting_since
        return self._thread.is_alive() and not (since and time.monotonic() - since > PATIENCE)

    def _follow(self) -> None:
        watch = Watch(self._root)
        seen: object = ()
        due = 0.0
        while True:
            mark = volume.fingerprint(self._root)
            if mark != seen:
                self._soon.reset()
            if mark != seen or (due and time.monotonic() >= due):
                seen = mark
                failure = self.activate()
                due = time.monotonic() + self._pause(failure) if failure else 0.0
            watch.wait(POLL)

    def _pause(self, failure: Failure) -> float:
        """Give the seconds until the next try though nothing changes: what is refused for ever is tried rarely."""
        if failure is Failure.INVALID_CONFIGURATION and self._doubt is not None:
            return max(1.0, self._doubt.due - time.monotonic())
        return self._soon.next()

    def activate(self) -> Failure | None:
        """Try to put the mount in force; return what kept it from that."""
        started = time.monotonic()
        try:
            mount = volume.read(self._root)
            self._status.seen(mount.digest)
            missing = self._put_in_force(mount)
        except ActivationError as error:
            log.error("%s: %s", error.failure, error)  # noqa: TRY400  the traceback of an expected failure says nothing
            return self._failed(error.failure)
        except Exception:
            log.exception("activating the configuration failed")
            return self._failed(Failure.DAEMON_FAILED)
        seconds = time.monotonic() - started
        log.info("configuration %.12s is active after %.3f s", mount.digest, seconds)
        self._status.activated(mount.digest, seconds)
        self._soon.reset()
        self._doubt, self._waiting_since = None, 0.0
        return self._lacks(missing) if missing else None

    def _lacks(self, missing: frozenset[str]) -> Failure:
        """Tell of shards that are gone though the manifest names them: the rest of the mount is in force."""
        log.error("directory shards are missing from the mount: %s; keeping their rows", ", ".join(sorted(missing)))
        self._status.failed(Failure.INCOMPLETE_MOUNT)
        return Failure.INCOMPLETE_MOUNT

    def _put_in_force(self, mount: Mount) -> frozenset[str]:
        """Put a mount in force, or raise ActivationError; the result is the shards that it lacks."""
        manifest = mount.manifest()
        shards, missing = self._directory.completed(manifest.shards, mount.shards)
        if self._current is None:
            self._waiting_since = self._waiting_since or time.monotonic()
        reopen = self._directory.apply(manifest.tables, shards)
        generation = self._stage.plan(mount, manifest)
        if self._current is None:
            self._begin_with(generation, mount, manifest)
            return missing
        try:
            self._change_to(generation, mount, manifest, reopen=reopen)
        except ActivationError:
            if reopen:  # the tables are in force all the same
                self._carry_out(Effect.RELOAD)
            raise
        return missing

    def _begin_with(self, generation: Generation, mount: Mount, manifest: Manifest) -> None:
        """Start the daemon; files that an earlier run of the container had in force are not judged again."""
        inherited = self._stage.inherited()
        if inherited is not None and inherited.effect_of_change(generation) is None:
            self._judge(generation, self._stage.active, known=True)
            self._current = inherited
        else:
            self._validate(generation, mount, manifest)
            self._switch(generation)
        self._supervisor.begin()

    def _change_to(self, generation: Generation, mount: Mount, manifest: Manifest, *, reopen: bool) -> None:
        """Go over from the current generation, or stay with it and raise ActivationError."""
        assert self._current is not None  # noqa: S101 -- whoever has none begins
        effect = self._current.effect_of_change(generation)
        if reopen and effect in (None, Effect.LIVE):
            self._carry_out(Effect.RELOAD)
        if effect is None:
            return
        doubt = self._doubt_of(generation)
        if doubt.refused and time.monotonic() < doubt.due:
            raise ActivationError(Failure.INVALID_CONFIGURATION, "the files are those that were refused before")
        self._validate(generation, mount, manifest)
        previous, answered = self._current, effect > Effect.LIVE and self._daemon.ready()
        before = self._daemon.serving()
        self._switch(generation)
        self._carry_out(effect)
        if answered and not self._settled(before):
            self._go_back(previous, generation, effect)

    def _go_back(self, previous: Generation, generation: Generation, effect: Effect) -> None:
        """Put the generation before in force again; only if the daemon answers with that, the new one is at fault."""
        before = self._daemon.serving()
        self._switch(previous)
        self._carry_out(effect)
        if not self._settled(before):
            text = "the daemon stopped answering, with the configuration before too; the new one is tried again"
            raise ActivationError(Failure.DAEMON_FAILED, text)
        self._refuse(generation)
        raise ActivationError(Failure.INVALID_CONFIGURATION, "the daemon stopped answering; went back")

    def _validate(self, generation: Generation, mount: Mount, manifest: Manifest) -> None:
        """Write a generation and have it judged; raise ActivationError when it cannot come in force."""
        self._stage.write(generation, mount, manifest)
        rehearsal = self._stage.write_rehearsal(generation)
        try:
            self._judge(generation, rehearsal)
        except ActivationError:
            self._stage.prune(self._current, self._stage.inherited())
            raise
        finally:
            shutil.rmtree(rehearsal, ignore_errors=True)

    def _judge(self, generation: Generation, folder: Path, *, known: bool = False) -> None:
        """Ask the daemon's own tools about the files of a generation, which lie in `folder`, unless they are known."""
        doubt = self._doubt_of(generation)
        given = effort(doubt.interrupted, serving=self._current is not None)
        try:
            refusal = "" if known else self._daemon.complaint(folder, given)
            fault = "" if refusal or self._current else self._daemon.prepare(folder, given)
        except ActivationError:
            doubt.interrupted += 1
            raise
        if refusal:
            self._refuse(generation)
            raise ActivationError(Failure.INVALID_CONFIGURATION, refusal)
        if fault:
            raise ActivationError(Failure.DAEMON_FAILED, fault)

    def _doubt_of(self, generation: Generation) -> _Doubt:
        """Return what is known of these files, which are other ones than those tried last if nothing is."""
        if self._doubt is None or self._doubt.generation.effect_of_change(generation) is not None:
            self._doubt = _Doubt(generation)
            self._later.reset()
        return self._doubt

    def _refuse(self, generation: Generation) -> None:
        doubt = self._doubt_of(generation)
        pauses = self._soon if self._current is None else self._later
        doubt.refused, doubt.due = True, time.monotonic() + pauses.next()

    def _switch(self, generation: Generation) -> None:
        self._stage.activate(generation)
        self._stage.prune(generation, self._current)
        self._current = generation

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

    def _failed(self, failure: Failure) -> Failure:
        """After a failure at the start, go on with what an earlier run of the container had in force."""
        self._status.failed(failure)
        if self._current is None:
            inherited = self._stage.inherited()
            if inherited:
                log.warning("keeping configuration %.12s, which was active before", inherited.digest)
                self._current = inherited
                self._status.inherited(inherited.digest)
                self._waiting_since = 0.0
                self._supervisor.begin()
            else:
                log.warning("no configuration is active, so the daemon is not started")
        return failure
