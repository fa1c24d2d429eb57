"""Small changes of code that may change what it does, for `mutants.py`.

Texts with a blank are left alone: they are for people. So are lines of the log, types and decorators.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
PROBE = "__import__('builtins').__dict__.setdefault('entered', set()).add({!r})"


@dataclass
class Change:
    """Another value for a field of a node, and the function around it; none for what runs when a module is imported."""

    node: ast.AST
    field: str
    value: object
    function: str


def changes(node: ast.AST, around: str = "", function: str = "") -> Iterator[Change]:
    """Give what can be changed in a tree."""
    for name, child in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list"}:
            continue
        for one in child if isinstance(child, list) else [child]:
            if not isinstance(one, ast.AST) or _for_people(one):
                continue
            inside, of = around, function
            if isinstance(one, FUNCTIONS | ast.ClassDef):
                inside = f"{around}.{one.name}".lstrip(".")
                of = of or (inside if isinstance(one, FUNCTIONS) else "")
            yield from (Change(one, field, value, of) for field, value in _others(one))
            yield from changes(one, inside, of)


def _for_people(node: ast.AST) -> bool:
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return True
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return text or (isinstance(node, ast.Expr | ast.Call) and ast.unparse(node).startswith(("log.", "cast(")))


def _others(node: ast.AST) -> Iterator[tuple[str, object]]:  # noqa: C901, PLR0912 - one case a kind
    """Give fields of a node with other values: turned conditions, other constants, and what is left out or swapped."""
    match node:
        case ast.Compare(ops=[first, *rest]) if type(first) in SWAPPED:
            yield "ops", [SWAPPED[type(first)](), *rest]
        case ast.BoolOp(op=old) | ast.BinOp(op=old) | ast.AugAssign(op=old) if type(old) in SWAPPED:
            yield "op", SWAPPED[type(old)]()
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            yield "operand", ast.UnaryOp(ast.Not(), inner)
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            if not isinstance(test, ast.Compare | ast.BoolOp | ast.UnaryOp):
                yield "test", ast.UnaryOp(ast.Not(), test)
        case ast.Constant(value=bool() as old):
            yield "value", not old
        case ast.Constant(value=int() as old):
            yield "value", old + 1
        case ast.Constant(value=str() as old) if old and " " not in old:
            yield "value", f"{old}x"
        case ast.Return(value=ast.expr() as old) if not isinstance(old, ast.Constant):
            yield "value", ast.Constant(None)
        case ast.Expr(value=ast.Call()):
            yield "value", ast.Constant(None)
        case ast.Call(args=arguments, keywords=words):
            if len(arguments) > 1 and not any(isinstance(one, ast.Starred) for one in arguments[:2]):
                yield "args", [arguments[1], arguments[0], *arguments[2:]]
            for word in words:
                if word.arg not in {None, "strict"}:
                    yield "keywords", [other for other in words if other is not word]
        case _:
            pass
    for block in ("body", "orelse"):
        lines = getattr(node, block, ())
        for index, line in enumerate(lines if isinstance(lines, list) else []):
            if isinstance(line, ast.Raise | ast.Continue | ast.AugAssign):
                yield block, [*lines[:index], ast.Pass(), *lines[index + 1 :]]


def probed(source: str, file: str) -> str:
    """Let each function say that it was entered."""
    tree = ast.parse(source)

    def visit(node: ast.AST, around: str = "") -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                visit(child, f"{around}{child.name}.")
            elif isinstance(child, FUNCTIONS):
                probe = ast.parse(PROBE.format(f"{file}::{around}{child.name}")).body
                child.body[1 if ast.get_docstring(child) else 0 : 0] = probe
            else:
                visit(child, around)

    visit(tree)
    return ast.unparse(ast.fix_missing_locations(tree))
