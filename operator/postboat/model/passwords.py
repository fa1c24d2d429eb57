"""Passwords as Dovecot verifies them: hashes are taken as they are, plain text is hashed once.

Plain text becomes {SSHA512} with a salt derived from a key of the platform: equal input gives equal bytes, and ten
thousand passwords cost milliseconds. A slow hash would protect little, since the plain text stands in the user's own
Secret next door; who wants one writes it ({ARGON2ID}..., {BLF-CRYPT}..., {SHA512-CRYPT}...) into that Secret.
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
    """Where a password is referenced, and what follows when it is missing."""

    path: str
    consequence: str
    servers: tuple[str, ...] = ()
    """The MailServers of the namespace: no Secret of theirs holds a password of a user."""


def referenced_password(
    reference: SecretKeyRef | None, user: str, secrets: Mapping[str, SecretContent], key: bytes, place: Place
) -> str | Verdict:
    """Find the password that an object references as the directory holds it; empty where it references none."""
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
    """Turn the content of a password Secret into what the directory holds, or say what is wrong with it."""
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
