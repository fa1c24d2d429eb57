"""Waiting for a change of a folder with inotify, by ctypes, since the standard library has no inotify.

Where the kernel refuses a watch, waiting falls back to its timeout, after which the caller looks for itself.
"""

from __future__ import annotations

import ctypes
import os
import select
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# linux/inotify.h: CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE, DELETE_SELF, MOVE_SELF
_MASK = 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800
_EVENTS = 65536


class Watch:
    """A watch on the entries of one folder, not of its subfolders: the kubelet swaps one link at the top."""

    def __init__(self, folder: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor >= 0 and libc.inotify_add_watch(self._descriptor, os.fsencode(folder), _MASK) < 0:
            self.close()

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds` for a change and return whether there was one; all pending events are taken."""
        if self._descriptor < 0:
            time.sleep(seconds)
            return False
        if not select.select([self._descriptor], [], [], seconds)[0]:
            return False
        os.read(self._descriptor, _EVENTS)
        return True

    def close(self) -> None:
        """Give the watch back; later waits only sleep."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1
