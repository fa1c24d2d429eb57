"""Progress on the terminal and commands that say what went wrong.

Every step of `up` prints one line when it begins and the time it took when it ends.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

Command = Sequence[object]  # words of a command line: strings, paths


class StepError(Exception):
    """A step that could not be done; the message is for the person at the terminal."""


@contextmanager
def step(title: str) -> Iterator[None]:
    """Tell what is being done, and how long it took."""
    started = time.monotonic()
    print(f"  {title} ...", end="", file=sys.stderr, flush=True)
    try:
        yield
    except BaseException:
        print(" failed", file=sys.stderr, flush=True)
        raise
    print(f" {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)


def run(
    command: Command,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    stdin: str | None = None,
) -> str:
    """Run a command and return what it printed; a failure shows the end of its error output."""
    words = [str(word) for word in command]
    done = subprocess.run(words, env=environment, cwd=folder, input=stdin, text=True, capture_output=True, check=False)
    if done.returncode:
        raise StepError(
            f"{shlex.join(words)}\n  exited with {done.returncode}: {(done.stderr or done.stdout).strip()[-3000:]}"
        )
    return done.stdout


def attempt(command: Command) -> bool:
    """Run a command whose failure is fine, such as the removal of something that is not there."""
    return subprocess.run([str(word) for word in command], capture_output=True, check=False).returncode == 0


def wait_for(what: str, ready: Callable[[], bool], seconds: float, pause: float = 0.2) -> None:
    """Wait until something is so, and say what was missing when it never is."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise StepError(f"{what}: not within {seconds:.0f} s")
        time.sleep(pause)
