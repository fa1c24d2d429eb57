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
PROGRESS_EVERY = 20.0


class StepError(Exception):
    """A step that could not be done; the message is for the person at the terminal."""


def watch(command: Command, *, folder: Path, environment: Mapping[str, str], total: int, unit: str) -> None:
    """Run a long command that reports each thing it did on a line of its error output, and show how far it is."""
    words = [str(word) for word in command]
    lines: list[str] = []
    shown = time.monotonic()
    with subprocess.Popen(words, cwd=folder, env=environment, text=True, stderr=subprocess.PIPE) as process:
        for line in process.stderr or ():
            lines.append(line)
            if time.monotonic() - shown > PROGRESS_EVERY:
                shown = time.monotonic()
                print(f" {len(lines)} of at most {total} {unit} ...", end="", file=sys.stderr, flush=True)
    if process.returncode:
        raise StepError(f"{shlex.join(words)}\n  exited with {process.returncode}: {''.join(lines)[-3000:]}")


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
