"""Waits for a change of a folder with inotify(7), by ctypes, since the standard library has no inotify.

When the kernel refuses a watch, waiting ends by its timeout only, and the caller has to look for itself.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# linux/inotify.h: CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE, DELETE_SELF, MOVE_SELF
_MASK = 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800
_LOST = 0x4000 | 0x2000 | 0x8000  # Q_OVERFLOW, UNMOUNT, IGNORED
_EVENTS = 65536
_HEAD = struct.Struct("iIII")
_BLIND = 30.0


class Watch:
    """A watch on the entries of one folder, not of its subfolders: the kubelet switches one link at the top.

    Args:
        folder: The folder; when it cannot be watched, waiting only sleeps.
    """

    def __init__(self, folder: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor >= 0 and libc.inotify_add_watch(self._descriptor, os.fsencode(folder), _MASK) < 0:
            self.close()

    def wait(self, seconds: float) -> bool:
        """Wait for a change and return whether there was one. All pending events are consumed.

        Args:
            seconds: Longest wait.
        """
        if self._descriptor < 0:
            time.sleep(seconds)
            return False
        if not select.select([self._descriptor], [], [], seconds)[0]:
            return False
        os.read(self._descriptor, _EVENTS)
        return True

    def names(self, seconds: float) -> frozenset[str] | None:
        """Wait for a change and return the entries that have changed.

        Args:
            seconds: Longest wait; without a watch at most 30 s.

        Returns:
            Empty when nothing has changed; None when events were lost or there is no watch, so that everything may have
            changed.
        """
        if self._descriptor < 0:
            time.sleep(max(0.0, min(seconds, _BLIND)))
            return None
        if not select.select([self._descriptor], [], [], max(0.0, seconds))[0]:
            return frozenset()
        found: set[str] = set()
        events = os.read(self._descriptor, _EVENTS)
        while events:
            _, mask, _, length = _HEAD.unpack_from(events)
            if mask & _LOST:
                return None
            found.add(os.fsdecode(events[_HEAD.size : _HEAD.size + length].rstrip(b"\0")))
            events = events[_HEAD.size + length :]
        return frozenset(found)

    def close(self) -> None:
        """Close the watch; later calls only sleep."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1
