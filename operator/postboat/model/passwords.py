"""Passwords as Dovecot verifies them: a hash is stored as it is, plain text is hashed.

Plain text becomes {SSHA512} with a salt that is derived from a key of the platform: equal input gives equal bytes, and
ten thousand passwords cost milliseconds. A slow hash would protect little, since the plain text is in the user's own
Secret beside it; who wants one writes it ({ARGON2ID}..., {BLF-CRYPT}..., {SHA512-CRYPT}...) into that Secret.
"""

import hmac
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha512
from typing import Final

from postboat.api.values import SecretKeyRef
from postboat.model import references
from postboat.model.hashes import Plain, Unusable, recognised
from postboat.model.snapshot import SecretContent
from postboat.model.verdict import Reason, Verdict

_LONGEST: Final = 1024
_SALT_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object references a password, for messages."""

    path: str
    """Path of the field, such as `spec.passwordSecret`."""
    consequence: str
    """What follows while the password is missing, as a part of a sentence."""
    servers: tuple[str, ...] = ()
    """Names of the MailServers of the namespace: their own Secrets must not be used as passwords of users."""


def referenced_password(
    reference: SecretKeyRef | None, user: str, secrets: Mapping[str, SecretContent], key: bytes, place: Place
) -> str | Verdict:
    """Return the password that an object references, as the directory stores it, or a verdict that says what is wrong.

    Args:
        reference: Secret and key; None when the object references none.
        user: User name, which goes into the salt.
        secrets: Contents of Secrets by name.
        key: `hash-key` of the platform, from which salts are derived.
        place: Where the reference is, for messages.

    Returns:
        `{SCHEME}...`, or "" without a reference.
    """
    if reference is None:
        return ""
    secret = secrets.get(reference.name)
    if references.own(reference.name, place.servers):
        message = f"Secret {reference.name} is the platform's own, write the password into another: {place.consequence}"
        return Verdict(Reason.INVALID, message, f"{place.path}.name")
    if secret is None or not secret.exists:
        message = f"there is no Secret {reference.name}: {place.consequence}"
        return Verdict(Reason.SECRET_NOT_FOUND, message, place.path)
    content = secret.data.get(reference.key)
    if content is None:
        message = f"Secret {reference.name} has no key {reference.key}: {place.consequence}"
        return Verdict(Reason.SECRET_KEY_NOT_FOUND, message, place.path)
    password = stored_password(content, user, key)
    if isinstance(password, Verdict):
        message = f"Secret {reference.name}, key {reference.key}: {password.message}"
        return replace(password, message=message, path=place.path)
    return password


def stored_password(content: bytes, user: str, key: bytes) -> str | Verdict:
    """Return what the directory stores for the content of a password Secret, or a verdict that says what is wrong.

    Args:
        content: The value in the Secret, any bytes; one line end is removed. At most 1024 bytes.
        user: User name, which goes into the salt.
        key: `hash-key` of the platform, from which salts are derived.
    """
    text = content.removesuffix(b"\n").removesuffix(b"\r")
    if len(text) > _LONGEST:
        return _invalid(f"the password is longer than {_LONGEST} bytes")
    unfit = _unfit(text)
    if unfit:
        return unfit
    read = recognised(text)
    if isinstance(read, Unusable):
        return _invalid(read.message)
    if isinstance(read, str):
        return read
    plain = read.text if isinstance(read, Plain) else text
    return _unfit(plain) or _hashed(plain, user, key)


def _unfit(text: bytes) -> Verdict | None:
    if not text:
        return _invalid("the password is empty")
    if b"\0" in text or b"\n" in text or b"\r" in text:
        return _invalid("the password holds more than one line")
    return None


def _hashed(text: bytes, user: str, key: bytes) -> str:
    salt = hmac.digest(key, user.encode() + b"\0" + text, "sha512")[:_SALT_BYTES]
    return "{SSHA512}" + b64encode(sha512(text + salt).digest() + salt).decode()


def _invalid(message: str) -> Verdict:
    return Verdict(Reason.INVALID_SECRET, message)
