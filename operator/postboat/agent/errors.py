"""Why a mounted configuration is not in force, as a closed set of values.

The operator gets the value. The detail may contain an address, so it only goes to the log of the container.
"""

from __future__ import annotations

from enum import StrEnum


class Failure(StrEnum):
    """The value of `error` in `/status`."""

    INCOMPLETE_MOUNT = "IncompleteMount"
    INVALID_CONFIGURATION = "InvalidConfiguration"
    NOT_VALIDATED = "NotValidated"
    """The validator was killed, ran out of time or could not be run: nothing is known of the configuration."""
    OUT_OF_MEMORY = "OutOfMemory"
    """The kernel killed in this container for want of memory while the validator ran."""
    TABLE_UPDATE_FAILED = "TableUpdateFailed"
    DAEMON_FAILED = "DaemonFailed"


class ActivationError(Exception):
    """An activation failed; the mounted configuration is not in force.

    Args:
        failure: For `/status`.
        detail: For the log.
    """

    def __init__(self, failure: Failure, detail: str) -> None:
        super().__init__(detail)
        self.failure = failure
