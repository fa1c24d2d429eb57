"""One function for each syntax a value may be written into, so that no value ever breaks out of its place.

A value that has no form in the target syntax raises ValueError: the schema and the model keep such values away, and a
wrong rendering would be worse than none.
"""

from re import ASCII
from re import compile as pattern
from typing import Final

_CONTROL: Final = pattern(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_PLAIN_WORD: Final = pattern(r"[^\s,{}$\"'\\]+")
_VALKEY_ESCAPES: Final = {'"': '\\"', "\\": "\\\\"}
_ARGUMENT: Final = pattern(r"[a-z0-9_.:@-]+", ASCII)
_UCL_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "$": "$$"}


def _line(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("a control character cannot be written into a configuration file")
    return value


def postfix(value: str) -> str:
    """Write a value of main.cf: one logical line, no macro, no comment, no space at its ends."""
    if value != value.strip():
        raise ValueError("a value of main.cf cannot begin or end with white space")
    return _line(value).replace("$", "$$")


def postfix_option(value: str) -> str:
    """Write the right side of `-o { name = value }` in master.cf, where braces must balance."""
    depth = 0
    for character in value:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            break
    if depth:
        raise ValueError("braces of a master.cf option must balance")
    return postfix(value)


def postfix_word(value: str) -> str:
    """Write one element of a list in main.cf: a word without separators, braces or quotes."""
    if not _PLAIN_WORD.fullmatch(_line(value)) or value.startswith("#"):
        raise ValueError("an element of a Postfix list cannot hold separators")
    return value


def table(value: str) -> str:
    """Write one column of a shard: anything but the characters that separate columns and rows."""
    if "\t" in value or "\n" in value or "\r" in value or "\0" in value:
        raise ValueError("a column cannot hold a tab, a line break or NUL")
    return value


def columns(row: tuple[str, ...]) -> str:
    """Write the columns of one row; looking at all of them at once takes a third of the time."""
    text = "\t".join(row)
    if text.count("\t") >= len(row) or "\n" in text or "\r" in text or "\0" in text:
        return "\t".join(map(table, row))
    return text


def dovecot(value: str) -> str:
    """Write a quoted string of dovecot.conf; `%` and `$` begin variables there and have no form of their own."""
    if "%" in value or "$" in value:
        raise ValueError("a value of dovecot.conf cannot hold what begins a variable")
    escaped = _line(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def dovecot_argument(value: str) -> str:
    """Write an address, a host or a port within an argument of dovecot.conf: it has no character with a meaning."""
    if not _ARGUMENT.fullmatch(value):
        raise ValueError("an argument in dovecot.conf cannot hold separators or quotes")
    return value


def ucl(value: str) -> str:
    """Write a quoted string of Rspamd's UCL, with `$` doubled, since a variable could begin there."""
    quoted = "".join(_UCL_ESCAPES.get(character, character) for character in _line(value))
    return f'"{quoted}"'


def valkey(value: str) -> str:
    """Write a quoted argument of valkey.conf."""
    quoted = "".join(_VALKEY_ESCAPES.get(character, character) for character in _line(value))
    return f'"{quoted}"'
