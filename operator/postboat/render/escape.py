"""One function for each syntax that a value is written into, so that no value breaks out of its place.

A value that cannot be expressed in the target syntax raises ValueError. The schema and the model keep such values away;
an exception is better than a wrong file.
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
    """Return a value for main.cf: one logical line, `$` doubled, see postconf(5).

    Raises:
        ValueError: White space at an end, or a control character or line separator in it.
    """
    if value != value.strip():
        raise ValueError("a value of main.cf cannot begin or end with white space")
    return _line(value).replace("$", "$$")


def postfix_word(value: str) -> str:
    """Return one element of a list in main.cf, unchanged.

    Raises:
        ValueError: White space, a comma, a brace, a quote, `$` or a backslash in it; a `#` at its start; or it is
            empty.
    """
    if not _PLAIN_WORD.fullmatch(_line(value)) or value.startswith("#"):
        raise ValueError("an element of a Postfix list cannot hold separators")
    return value


def table(value: str) -> str:
    """Return one column of a directory shard, unchanged.

    Raises:
        ValueError: A tab, CR, LF or NUL in it.
    """
    if "\t" in value or "\n" in value or "\r" in value or "\0" in value:
        raise ValueError("a column cannot hold a tab, a line break or NUL")
    return value


def columns(row: tuple[str, ...]) -> str:
    """Return the columns of one row, separated by tabs. It checks all columns at once, for speed.

    Raises:
        ValueError: As for `table`.
    """
    text = "\t".join(row)
    if text.count("\t") >= len(row) or "\n" in text or "\r" in text or "\0" in text:
        return "\t".join(map(table, row))
    return text


def dovecot(value: str) -> str:
    """Return a value as a quoted string of dovecot.conf.

    Raises:
        ValueError: `%` or `$` in it, which begin variables and cannot be escaped, or a control character.
    """
    if "%" in value or "$" in value:
        raise ValueError("a value of dovecot.conf cannot hold what begins a variable")
    escaped = _line(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def dovecot_argument(value: str) -> str:
    """Return an address, host name or port inside an argument of dovecot.conf, unchanged.

    Raises:
        ValueError: A character other than `a-z`, `0-9`, `_`, `.`, `:`, `@`, `-`; or it is empty.
    """
    if not _ARGUMENT.fullmatch(value):
        raise ValueError("an argument in dovecot.conf cannot hold separators or quotes")
    return value


def ucl(value: str) -> str:
    """Return a value as a quoted string of Rspamd's UCL, with `$` doubled, since it could begin a variable.

    Raises:
        ValueError: A control character in it.
    """
    quoted = "".join(_UCL_ESCAPES.get(character, character) for character in _line(value))
    return f'"{quoted}"'


def valkey(value: str) -> str:
    """Return a value as a quoted argument of valkey.conf.

    Raises:
        ValueError: A control character in it.
    """
    quoted = "".join(_VALKEY_ESCAPES.get(character, character) for character in _line(value))
    return f'"{quoted}"'
