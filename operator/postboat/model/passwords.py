"""Passwords as Dovecot verifies them: hashes are taken as they are, plain text is hashed once.

Plain text becomes {SSHA512} with a salt derived from a key of the platform: equal input gives equal bytes, and ten
thousand passwords cost milliseconds. A slow hash would protect little, since the plain text stands in the user's own
Secret next door; who wants one writes it ({ARGON2ID}..., {BLF-CRYPT}..., {SHA512-CRYPT}...) into that Secret.
"""

import hmac
from base64 import b64encode
from hashlib import sha512
from re import ASCII
from re import compile as pattern
from typing import Final

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
_SCHEME: Final = pattern(r"\{([A-Z0-9-]+)(?:\.(?:B64|HEX|b64|hex))?\}(.*)", ASCII)
_HASH: Final = pattern(r"[!-~]{8,1024}", ASCII)
_LONGEST: Final = 1024
_SALT_BYTES: Final = 16


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
        return known if _HASH.fullmatch(match[2]) else _invalid(f"what follows {{{match[1]}}} is no hash")
    for prefix, scheme in _CRYPT_PREFIXES:
        if known.startswith(prefix):
            return (
                f"{{{scheme}}}{known}" if _HASH.fullmatch(known) else _invalid(f"what begins with {prefix} is no hash")
            )
    return None


def _hashed(text: bytes, user: str, key: bytes) -> str:
    salt = hmac.digest(key, user.encode() + b"\0" + text, "sha512")[:_SALT_BYTES]
    return "{SSHA512}" + b64encode(sha512(text + salt).digest() + salt).decode()


def _invalid(message: str) -> Verdict:
    return Verdict(Reason.INVALID_SECRET, message)
