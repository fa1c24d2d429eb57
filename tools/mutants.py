"""`python -m tools.mutants PATHS...`: change the code a little, again and again, and list the changes no test notices.

It works on a copy of the checkout. A mutant that lives is a hole in the tests, or code that makes no difference.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent
COPIED = ("operator", "tests", "tools", "e2e", "docs", "crds", "charts", "examples", "pyproject.toml", "conftest.py")
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
SECONDS = 300


def places(tree: ast.Module) -> Iterator[ast.AST]:
    """The nodes that can be changed: comparisons, and/or, not, numbers, truth values, and results to be thrown away."""
    for node in ast.walk(tree):
        number = isinstance(node, ast.Constant) and isinstance(node.value, int)
        negation = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
        result = isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant)
        if isinstance(node, ast.Compare | ast.BoolOp) or number or negation or result:
            yield node


def change(node: ast.AST) -> str:
    """Change one node in place and say how; empty where nothing can be changed."""
    before = ast.unparse(node)
    if isinstance(node, ast.Compare):
        node.ops[0] = COMPARISONS[type(node.ops[0])]()
    elif isinstance(node, ast.BoolOp):
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    elif isinstance(node, ast.UnaryOp):
        node.op, node.operand = ast.Not(), ast.UnaryOp(ast.Not(), node.operand)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        node.value = not node.value if isinstance(node.value, bool) else node.value + 1
    elif isinstance(node, ast.Return):
        node.value = ast.Constant(None)
    return f"{before}  ->  {ast.unparse(node)}"


def lives(copy: Path, file: Path, tests: list[str], place: int) -> str:
    """Change the place of that number in a file of the copy, run the tests, and say what was changed if they pass."""
    original = file.read_text()
    tree = ast.parse(original)
    node = list(places(tree))[place]
    line = getattr(node, "lineno", 0)
    said = change(node)
    file.write_text(ast.unparse(tree))
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n0", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONPATH": f"{copy / 'operator'}:{copy}", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, timeout=SECONDS, check=False)
        passed = done.returncode == 0
    except subprocess.TimeoutExpired:
        passed = False
    finally:
        file.write_text(original)
    return f"{file.relative_to(copy)}:{line}: {said}" if passed else ""


def main() -> int:
    parser = argparse.ArgumentParser(description="Change the code a little, and list the changes that no test notices.")
    parser.add_argument("paths", nargs="+", type=Path, help="files and folders whose code is changed")
    parser.add_argument("--tests", nargs="+", default=["tests/unit", "tests/golden"], help="what pytest runs")
    parser.add_argument("--count", type=int, default=20, help="how many changes are tried, one at a time")
    parser.add_argument("--seed", type=int, default=1, help="which ones: the same number tries the same changes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        copy = Path(name)
        for one in COPIED:
            source = CHECKOUT / one
            shutil.copytree(source, copy / one) if source.is_dir() else shutil.copy(source, copy / one)
        found = [copy / path for path in options.paths]
        files = sorted(file for path in found for file in ([path] if path.is_file() else path.rglob("*.py")))
        all_places = [(file, number) for file in files for number, _ in enumerate(places(ast.parse(file.read_text())))]
        chosen = random.Random(options.seed).sample(all_places, min(options.count, len(all_places)))  # noqa: S311
        survivors = 0
        for file, number in chosen:
            living = lives(copy, file, options.tests, number)
            survivors += bool(living)
            print(living or f"noticed: {file.relative_to(copy)}", flush=True)
        print(f"{len(chosen) - survivors} of {len(chosen)} changes were noticed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
