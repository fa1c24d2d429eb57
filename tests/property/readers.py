"""Small readers of the target syntaxes, written from their manuals and not from our writers."""

import re


def postfix_main(text: str) -> dict[str, str]:
    """Read main.cf: logical lines, comments, `$$`."""
    logical: list[str] = []
    for line in text.split("\n"):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0] in " \t" and logical:
            logical[-1] += line
        else:
            logical.append(line)
    settings = {}
    for line in logical:
        name, equals, value = line.partition("=")
        assert equals, line
        settings[name.strip()] = _expanded(value.strip())
    return settings


def _expanded(value: str) -> str:
    read, place = "", 0
    while place < len(value):
        if value[place] != "$":
            read += value[place]
            place += 1
        elif value[place + 1 : place + 2] == "$":
            read += "$"
            place += 2
        else:
            raise AssertionError("a macro")
    return read


def quoted(text: str, escapes: dict[str, str]) -> str:
    """Read one string in double quotes and nothing after it."""
    assert text.startswith('"')
    read, place = "", 1
    while True:
        character = text[place]
        if character == '"':
            assert place == len(text) - 1, "the quotes close early"
            return read
        assert character >= " ", "a control character"
        if character == "\\":
            read += escapes[text[place + 1]]
            place += 2
        else:
            read += character
            place += 1


def ucl(text: str) -> str:
    """Read a string of UCL, with its variables."""
    value = quoted(text, {'"': '"', "\\": "\\"})
    assert not re.search(r"(?<!\$)(\$\$)*\$(?!\$)", value), "a variable"
    return value.replace("$$", "$")
