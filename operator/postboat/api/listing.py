"""How the entries of a list are identified: as a whole, or by some of their fields.

One marker writes this into the schema, for server-side apply, and checks that no entry is there twice.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from postboat.api.base import camel


@dataclass(frozen=True, slots=True)
class Listing:
    """A marker for a field that is a tuple: its entries are unique."""

    keys: tuple[str, ...] = ()
    """Python names of the fields that identify an entry; empty for entries that are compared as a whole."""
    whole: bool = False
    """Whether one manager owns the list as a whole (`atomic`): server-side apply fails on a set of objects (500)."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check the entries after everything else about them is known to be right."""
        return core_schema.no_info_after_validator_function(self._each_once, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Tell Kubernetes how entries are merged."""
        written = handler(schema)
        written["x-kubernetes-list-type"] = "map" if self.keys else "atomic" if self.whole else "set"
        if self.keys:
            written["x-kubernetes-list-map-keys"] = [camel(key) for key in self.keys]
        return written

    def _each_once(self, entries: tuple[Any, ...]) -> tuple[Any, ...]:
        seen: set[Hashable] = set()
        for entry in entries:
            identity = tuple(getattr(entry, key) for key in self.keys) if self.keys else entry
            if identity in seen:
                same = f"the same {' and '.join(camel(key) for key in self.keys)}" if self.keys else "the same value"
                raise PydanticCustomError("repeated", "two entries have {same}: write each once", {"same": same})
            seen.add(identity)
        return entries


AS_SET: Final = Listing()
AS_WHOLE: Final = Listing(whole=True)


def keyed_by(*keys: str) -> Listing:
    """Return a marker for a list whose entries are identified by some fields.

    Args:
        keys: Python names of the fields.
    """
    return Listing(keys)
