"""A queue of writes to single objects, served by a few threads: a newer write of an object replaces an older one.

A failed write is repeated with back-off (0.5 to 30 s), while other objects go on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

from postboat.cluster.retry import Backoff
from postboat.cluster.types import ApiError, ConnectionFailedError, FencedError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

log = logging.getLogger(__name__)

Name = TypeVar("Name", bound="Hashable")
Value = TypeVar("Value")
_BACKOFF = Backoff(base=0.5, cap=30.0)


class RetryQueue(Generic[Name, Value]):
    """A queue by name of the object; safe to use from many threads.

    Args:
        title: For logs and names of threads.
        writers: Number of threads.
        write: Called on one of these threads, never twice at once for one name. It blocks; False or an exception
            repeats it.

    Attributes:
        heartbeat: When a thread last looked for work, in seconds of the monotonic clock.
    """

    def __init__(self, title: str, writers: int, write: Callable[[Name, Value], bool]) -> None:
        self.heartbeat = time.monotonic()
        self._title, self._write = title, write
        self._condition = threading.Condition()
        self._due: OrderedDict[Name, Value] = OrderedDict()
        self._failures: dict[Name, int] = {}
        self._held: dict[Name, float] = {}
        self._busy: set[Name] = set()
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._work, name=f"{title} {number}", daemon=True) for number in range(writers)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ask the threads to end; what waits is lost."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()

    def forget(self) -> None:
        """Drop all that waits, since this process has lost the Lease."""
        with self._condition:
            self._due.clear()
            self._failures.clear()
            self._held.clear()

    def put(self, name: Name, value: Value, *, after: float = 0.0) -> None:
        """Queue a write; it replaces one of the same name that waits.

        Args:
            after: Seconds before it may be written; 0 writes it as soon as a thread is free, or its back-off is over.
        """
        with self._condition:
            self._due[name] = value
            if after:
                self._held[name] = time.monotonic() + after
            elif name not in self._failures:
                self._held.pop(name, None)
            self._condition.notify()

    def __len__(self) -> int:
        return len(self._due)

    def _take(self) -> tuple[Name, Value] | None:
        """Wait for a write that is due and whose name no other thread is writing; None when the queue is stopped."""
        with self._condition:
            while not self._stopping:
                self.heartbeat = now = time.monotonic()
                for name, value in self._due.items():
                    if name not in self._busy and self._held.get(name, 0.0) <= now:
                        del self._due[name]
                        self._busy.add(name)
                        return name, value
                self._condition.wait(0.5 if self._due else 5)
            return None

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            name, value = taken
            failed = True
            try:
                failed = not self._write(name, value)
            except FencedError:
                pass  # somebody else holds the Lease; what is still true then is written when this one has it again
            except (ApiError, ConnectionFailedError) as failure:
                log.warning("writing %s of %s failed, retrying: %s", self._title, name, failure)
            except Exception:
                log.exception("writing %s of %s failed, retrying", self._title, name)
            self._done(name, value, failed=failed)

    def _done(self, name: Name, value: Value, *, failed: bool) -> None:
        with self._condition:
            self._busy.discard(name)
            if not failed:
                self._failures.pop(name, None)
                self._held.pop(name, None)
                return
            self._failures[name] = self._failures.get(name, 0) + 1
            self._held[name] = time.monotonic() + _BACKOFF.delay(self._failures[name], 1.0)
            self._due.setdefault(name, value)
