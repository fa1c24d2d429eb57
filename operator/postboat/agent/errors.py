"""What can keep a mounted configuration from being in force, as a closed set of words.

The words go to the operator; the detail may name an address, so it goes to the container's log only.
"""

from __future__ import annotations

from enum import StrEnum


class Failure(StrEnum):
    """The word that `/status` reports."""

    INCOMPLETE_MOUNT = "IncompleteMount"
    INVALID_CONFIGURATION = "InvalidConfiguration"
    NOT_VALIDATED = "NotValidated"
    """The validator was killed, ran out of time or could not be run: nothing is known of the configuration."""
    OUT_OF_MEMORY = "OutOfMemory"
    """The kernel killed in this container for want of memory while the validator ran."""
    TABLE_UPDATE_FAILED = "TableUpdateFailed"
    DAEMON_FAILED = "DaemonFailed"


class ActivationError(Exception):
    """An activation ended without putting the mount in force; `failure` is for the operator, the text for the log."""

    def __init__(self, failure: Failure, detail: str) -> None:
        super().__init__(detail)
        self.failure = failure
