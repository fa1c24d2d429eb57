"""`python -m tools.mutants PATHS...`: change the code a little, again and again, and list the changes no test notices.

It works on copies of the checkout. One run of all tests tells which of them enter which function; a changed function is
then tried by these only, the quickest first. A change that lives is a hole in the tests, or code that makes no
difference. `mutations.py` has what is changed.
"""

from __future__ import annotations

import argparse
import ast
import compileall
import importlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tools.mutations import changes, probed

CHECKOUT = Path(__file__).parent.parent
COPIED = ("operator", "tests", "tools", "e2e", "docs", "crds", "charts", "examples", "pyproject.toml", "conftest.py")
TESTS = ("tests/unit", "tests/golden", "tests/property")
SECONDS = 600
PRELOADED = (
    "hypothesis",
    "jinja2",
    "kopf",
    "kubernetes.client",
    "cryptography.x509",
    "pydantic",
    "yaml",
    "dns.resolver",
)
COPY = Path()


class Listener:
    """A plugin of pytest that keeps, of each test that passes, how long it takes and which functions it enters."""

    def __init__(self) -> None:
        self.seen: dict[str, tuple[float, list[str]]] = {}
        self._entered: set[str] = vars(__import__("builtins")).setdefault("entered", set())
        self._failed: set[str] = set()
        self._of_files: dict[str, set[str]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Iterator[None]:
        self._entered.clear()
        result = yield
        self._of_files.setdefault(collector.nodeid, set()).update(self._entered)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._entered.clear()
        began = time.monotonic()
        result = yield
        entered = self._entered | self._of_files.get(item.nodeid.split("::")[0], set())
        if item.nodeid not in self._failed:
            self.seen[item.nodeid] = (time.monotonic() - began, sorted(entered))
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed.add(report.nodeid)
            print(f"fails without any change: {report.nodeid}", file=sys.stderr)


class Chosen:
    """A plugin of pytest that runs these tests only, in this order."""

    def __init__(self, tests: list[str]) -> None:
        self._rank = {test: rank for rank, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((one for one in items if one.nodeid in self._rank), key=lambda one: self._rank[one.nodeid])


def passes(copy: Path, tests: list[str], plugin: object, written: Path | None = None) -> bool:
    """Run pytest in a fork, which has all but the code and the tests in memory already."""
    child = os.fork()
    if child == 0:
        signal.alarm(0 if written else SECONDS)
        os.chdir(copy)
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1) if written else (0, 1, 2):
            os.dup2(nothing, stream)
        sys.path[:0] = [str(copy / "operator"), str(copy)]
        words = ["-x"] if written is None else []
        code = pytest.main(
            [*words, "-q", "-n0", "--assert=plain", "-pno:cacheprovider", "--hypothesis-seed=0", *tests], [plugin]
        )
        if written is not None and isinstance(plugin, Listener):
            written.write_text(json.dumps(plugin.seen))
        os._exit(int(code))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) in {
        pytest.ExitCode.OK,
        pytest.ExitCode.NO_TESTS_COLLECTED,
    }


def copied(copy: Path) -> Path:
    """Copy the checkout."""
    copy.mkdir()
    for one in COPIED:
        source = CHECKOUT / one
        shutil.copytree(source, copy / one) if source.is_dir() else shutil.copy(source, copy / one)
    return copy


def mapped(tests: list[str]) -> dict[str, tuple[float, list[str]]]:
    """Run all tests once, and give of each its seconds and the functions that it enters."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = copied(Path(folder) / "copy")
        for file in (copy / "operator").rglob("*.py"):
            file.write_text(probed(file.read_text(), str(file.relative_to(copy))))
        passes(copy, tests, Listener(), copy / "seen.json")
        seen: dict[str, tuple[float, list[str]]] = json.loads((copy / "seen.json").read_text())
        return seen


def noticing(seen: Mapping[str, tuple[float, list[str]]], file: str, function: str, longest: float) -> list[str]:
    """Give the tests that enter a function, or any of the file for what is in none, the quickest first."""
    wanted = f"{file}::{function}"
    entering = [
        (seconds, test)
        for test, (seconds, entered) in seen.items()
        if seconds <= longest and any(one == wanted or (not function and one.startswith(wanted)) for one in entered)
    ]
    return [test for _, test in sorted(entering)]


def tried(task: tuple[str, int, Mapping[str, tuple[float, list[str]]], float]) -> tuple[str, bool]:
    """Change the place of that number in a file of this worker's copy, and tell what it was and whether tests fail."""
    name, number, seen, longest = task
    file = COPY / name
    original, stat = file.read_text(), file.stat()
    tree = ast.parse(original)
    change = list(changes(tree))[number]
    before, line = ast.unparse(change.node), getattr(change.node, "lineno", 0)
    setattr(change.node, change.field, change.value)
    after = ast.unparse(change.node)
    tests = noticing(seen, name, change.function, longest)
    file.write_text(ast.unparse(ast.fix_missing_locations(tree)))
    files = list(dict.fromkeys(test.split("::")[0] for test in tests))
    killed = bool(tests) and not passes(COPY, files, Chosen(tests))
    file.write_text(original)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    said = f"{name}:{line}: {change.function} ({len(tests)} tests): {before[:200]!r}  ->  {after[:200]!r}"
    return said, killed


def begin(folder: Path) -> None:
    """Make the copy of a worker."""
    global COPY  # noqa: PLW0603
    COPY = copied(folder / str(os.getpid()))
    compileall.compile_dir(COPY, quiet=2)


def main() -> int:
    parser = argparse.ArgumentParser(description="Change the code a little, and list the changes that no test notices.")
    parser.add_argument("paths", nargs="+", type=Path, help="files and folders whose code is changed")
    parser.add_argument("--tests", nargs="+", default=list(TESTS), help="what pytest runs")
    parser.add_argument("--count", type=int, default=20, help="how many changes are tried in each of the paths")
    parser.add_argument("--seed", type=int, default=1, help="which ones: the same number tries the same changes")
    parser.add_argument("--longest", type=float, default=5.0, help="seconds; tests that take longer are left out")
    parser.add_argument("--workers", type=int, default=1, help="how many changes are tried at once")
    parser.add_argument("--without", nargs="*", default=[], help="words of paths that are left alone")
    parser.add_argument("--map", type=Path, help="where it is kept which test enters what, for another run")
    options = parser.parse_args()
    sys.dont_write_bytecode = True
    for name in PRELOADED:
        importlib.import_module(name)
    if options.map and options.map.exists():
        seen = json.loads(options.map.read_text())
    else:
        seen = mapped(options.tests)
        if options.map:
            options.map.write_text(json.dumps(seen))
    totals = []
    with (
        tempfile.TemporaryDirectory(prefix="mutants-") as folder,
        multiprocessing.get_context("fork").Pool(options.workers, begin, [Path(folder)]) as pool,
    ):
        for path in options.paths:
            files = sorted(path.rglob("*.py") if path.is_dir() else [path])
            names = [str(file) for file in files if not any(word in str(file) for word in options.without)]
            found = [
                (name, number) for name in names for number, _ in enumerate(changes(ast.parse(Path(name).read_text())))
            ]
            chosen = random.Random(options.seed).sample(found, min(options.count, len(found)))  # noqa: S311
            killed = 0
            for said, noticed in pool.imap(tried, [(*one, seen, options.longest) for one in chosen]):
                killed += noticed
                print("noticed: " if noticed else "LIVES:   ", said, flush=True)
            totals.append(f"{path}: {killed} of {len(chosen)} noticed")
        pool.close()
        pool.join()
    print("\n".join(totals))
    return 0


if __name__ == "__main__":
    sys.exit(main())
