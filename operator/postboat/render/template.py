"""Templates hold loops and finished values, nothing else.

A name that a template uses and nobody gave is a bug and stops the rendering.
"""

from functools import cache
from importlib import resources
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from postboat.agent import ports

ACTIVE: Final = "/run/postboat/active"
TABLES: Final = "/var/lib/postboat/tables"


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
    """Read a file that is the same for every platform."""
    return resources.files("postboat.render").joinpath("templates", name).read_bytes()


def fill(name: str, **values: object) -> bytes:
    """Fill a template with finished values."""
    return _template(f"{name}.j2").render(active=ACTIVE, tables=TABLES, ports=ports, **values).encode()
