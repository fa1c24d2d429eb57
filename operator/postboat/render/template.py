"""Jinja templates; they have loops and values that are escaped already, nothing else.

A name that a template uses and no caller passes is a bug and raises an exception.
"""

from functools import cache
from importlib import resources
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from postboat.agent import ports

ACTIVE: Final = "/run/postboat/active"
"""Folder with the configuration in force, a link in each container."""
TABLES: Final = "/var/lib/postboat/tables"
"""Folder with the tables in each container."""


@cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("postboat.render"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 -- no HTML: each value was escaped for where it stands
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)


@cache
def script(name: str) -> bytes:
    """Return a file that is the same for every platform.

    Args:
        name: Path below `render/templates`.
    """
    return resources.files("postboat.render").joinpath("templates", name).read_bytes()


def fill(name: str, **values: object) -> bytes:
    """Return a filled template, UTF-8.

    Args:
        name: Name of the template below `render/templates`, without `.j2`.
        values: Values that are escaped for where the template puts them.

    Raises:
        jinja2.UndefinedError: The template uses a name that is not among the values.
    """
    return _template(f"{name}.j2").render(active=ACTIVE, tables=TABLES, ports=ports, **values).encode()
