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
from re import ASCII
from re import compile as pattern
from typing import Final

from postboat.api.values import SecretKeyRef
from postboat.model.snapshot import SecretContent
from postboat.model.verdict import Reason, Verdict

_SCHEMES: Final = frozenset(
    {
        "ARGON2I",
        "ARGON2ID",
        "BLF-CRYPT",
        "CRYPT",
        "MD5-CRYPT",
        "PBKDF2",
        "SCRAM-SHA-1",
        "SCRAM-SHA-256",
        "SHA256",
        "SHA256-CRYPT",
        "SHA512",
        "SHA512-CRYPT",
        "SSHA",
        "SSHA256",
        "SSHA512",
    }
)
_PLAIN_DIGESTS: Final = frozenset({"SHA256", "SHA512", "SSHA", "SSHA256", "SSHA512"})
_CRYPT_PREFIXES: Final = (
    ("$argon2id$", "ARGON2ID"),
    ("$argon2i$", "ARGON2I"),
    ("$2a$", "BLF-CRYPT"),
    ("$2b$", "BLF-CRYPT"),
    ("$2y$", "BLF-CRYPT"),
    ("$5$", "SHA256-CRYPT"),
    ("$6$", "SHA512-CRYPT"),
    ("$y$", "CRYPT"),
)
_SCHEME: Final = pattern(r"\{([A-Z0-9-]+)(\.(?:B64|HEX|b64|hex))?\}(.*)", ASCII)
_COSTS: Final = (
    (pattern(r"\$argon2id?\$(?:v=[0-9]+\$)?m=([0-9]+)", ASCII), 262_144),
    (pattern(r"\$argon2id?\$(?:v=[0-9]+\$)?m=[0-9]+,t=([0-9]+)", ASCII), 16),
    (pattern(r"\$2[aby]\$([0-9]+)", ASCII), 15),
    (pattern(r"\$[56]\$rounds=([0-9]+)", ASCII), 2_000_000),
    (pattern(r"\$1\$[^$]*\$([0-9]+)\$", ASCII), 2_000_000),
    (pattern(r"([0-9]+),", ASCII), 2_000_000),
)
"""What a hash may ask for: whoever writes one must not keep the processes busy that check everybody's password."""
_BY_CRYPT: Final = frozenset({"BLF-CRYPT", "CRYPT", "MD5-CRYPT", "SHA256-CRYPT", "SHA512-CRYPT"})
# crypt(3) knows other forms as well, some of them with costs without an end; yescrypt at D takes 256 MiB.
_CRYPT_FORMS: Final = pattern(r"\$(?:1|5|6|2[aby])\$.*|\$y\$j[7-9A-D][5T]\$.*|[./0-9A-Za-z]{13}", ASCII)
_HASH: Final = pattern(r"[!-~]{8,1024}", ASCII)
_LONGEST: Final = 1024
_SALT_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Place:
    """Where a password is referenced, and what follows when it is missing."""

    path: str
    consequence: str


def referenced_password(
    reference: SecretKeyRef | None, user: str, secrets: Mapping[str, SecretContent], key: bytes, place: Place
) -> str | Verdict:
    """Find the password that an object references as the directory holds it; empty where it references none."""
    if reference is None:
        return ""
    secret = secrets.get(reference.name)
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
    if not text:
        return _invalid("the password is empty")
    if len(text) > _LONGEST:
        return _invalid(f"the password is longer than {_LONGEST} bytes")
    if b"\0" in text or b"\n" in text or b"\r" in text:
        return _invalid("the password holds more than one line")
    return _given_hash(text) or _hashed(text, user, key)


def _given_hash(text: bytes) -> str | Verdict | None:
    try:
        known = text.decode("ascii")
    except UnicodeDecodeError:
        return None
    match = _SCHEME.fullmatch(known)
    if match and match[1] in _SCHEMES:
        hidden = match[2] and match[1] not in _PLAIN_DIGESTS
        if hidden or not _HASH.fullmatch(match[3]):
            return _invalid(f"what follows {{{match[1]}}} is no hash")
        return _costly(match[1], match[3]) or known
    for prefix, scheme in _CRYPT_PREFIXES:
        if known.startswith(prefix):
            if not _HASH.fullmatch(known):
                return _invalid(f"what begins with {prefix} is no hash")
            return _costly(scheme, known) or f"{{{scheme}}}{known}"
    return None


def _costly(scheme: str, known: str) -> Verdict | None:
    if scheme in _BY_CRYPT and not _CRYPT_FORMS.fullmatch(known):
        return _invalid(
            "the hash is of a kind that is not taken, or takes too much to check: write {BLF-CRYPT} or {ARGON2ID}"
        )
    for cost, limit in _COSTS:
        match = cost.match(known)
        if match and int(match[1]) > limit:
            return _invalid(f"the hash takes too much to check: {limit} is the most where it asks for more")
    return None


def _hashed(text: bytes, user: str, key: bytes) -> str:
    salt = hmac.digest(key, user.encode() + b"\0" + text, "sha512")[:_SALT_BYTES]
    return "{SSHA512}" + b64encode(sha512(text + salt).digest() + salt).decode()


def _invalid(message: str) -> Verdict:
    return Verdict(Reason.INVALID_SECRET, message)
