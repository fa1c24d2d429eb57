"""Password hashes: what looks like a hash, and which of them Dovecot verifies.

Text that looks like a hash is never used as a password, since whoever reads the hash could log in with it. Accepted are
the schemes that Dovecot 2.4.1 verifies without `auth_allow_weak_schemes`, in forms that its libraries can read; with
any other hash each login would be a temporary failure (doveadm-pw(1), crypt(5)).
"""

from base64 import b64decode, b64encode
from binascii import Error, unhexlify
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from re import ASCII
from re import compile as pattern
from typing import Final


@dataclass(frozen=True, slots=True)
class Unusable:
    """A hash that Dovecot cannot verify, or that costs too much."""

    message: str
    """Why, and what to write instead; it has no part of the hash."""


@dataclass(frozen=True, slots=True)
class Plain:
    """A password with the prefix `{PLAIN}`, `{CLEAR}` or `{CLEARTEXT}`."""

    text: bytes
    """The password without the prefix, whatever it looks like."""


_CURE: Final = "write a hash that `doveadm pw -s BLF-CRYPT` makes, or the password itself"
_BARE: Final = "; before a password that only looks like a hash, write {PLAIN}"
_UNREADABLE: Final = "is no hash that Dovecot checks there: its kind is not taken, or part of it is missing"
_COSTLY: Final = "the hash takes too much to check: {limit} is the most where it asks for more"

_PLAIN: Final = frozenset({"CLEAR", "CLEARTEXT", "PLAIN"})
_DIGESTS: Final[Mapping[str, tuple[int, bool]]] = {
    "SHA": (20, False),
    "SHA1": (20, False),
    "SHA256": (32, False),
    "SHA512": (64, False),
    "SSHA": (20, True),
    "SSHA256": (32, True),
    "SSHA512": (64, True),
}
"""How many bytes the digest has, and whether a salt follows it."""
_SCRAM: Final = {"SCRAM-SHA-1": 20, "SCRAM-SHA-256": 32}
_ARGON: Final = frozenset({"ARGON2", "ARGON2I", "ARGON2ID"})
_SWITCHED_OFF: Final = pattern(
    r"(?:PLAIN-)?MD[45]|PLAIN-TRUNC|(?:LDAP|HMAC|DIGEST)-MD5|SMD5|MD5-CRYPT|DES-CRYPT|OTP|BCRYPT", ASCII
)
"""Schemes of Dovecot that are too weak for it or never fit a login, and the one that is written most often in error."""
_FOREIGN: Final = pattern(
    r"SMD4|MD5CRYPT|DES(?:CRYPT)?|BSDI-?CRYPT|APR1|NTLM|NT|LM|LANMAN|SASL|KERBEROS|BLF|B(?:LOWFISH|CRYPT)[A-Z0-9-]*"
    r"|S?SHA-?(?:1|224|256|384|512)|S?SHA3[0-9-]*|SHA(?:256|512)_?CRYPT|SCRAM[A-Z0-9_-]*|PBKDF2[A-Z0-9_-]*"
    r"|ARGON2[A-Z0-9_-]*|S?CRYPT[0-9-]*|YESCRYPT|SUNMD5|X-[A-Z-]+",
    ASCII,
)
"""Schemes of other systems."""
_BRACED: Final = pattern(r"\{([A-Za-z0-9][A-Za-z0-9_-]*)(?:, ?[0-9]+|\.([A-Za-z0-9]*))?\}(.*)")
_ENCODED: Final = pattern(r"[A-Za-z0-9+/=.$,_-]{16,}")
_MODULAR: Final = pattern(
    r"\$(?:[1-9]|2[abxy]|g?y|[HPS]|md[45]|sha[0-9]+|apr1|argon2[a-z]*|pbkdf2[a-z0-9-]*|[bs]?crypt[a-z0-9-]*|yescrypt"
    r"|scram[a-z0-9-]*)[$,].*|SCRAM-SHA-[0-9]+\$.*|\$[A-Za-z0-9][A-Za-z0-9-]{0,31}\$[!-~]{20,}"
)
"""The modular forms of crypt(5) and of other programs, which name no scheme in braces."""
_AROUND: Final = pattern(r"[\s!*'\"]*(?:[^\s:{}$'\"]{1,255}:)?[\s!*'\"]*")
"""What may stand before a copied hash: a name as in htpasswd and shadow, a quote, a lock."""

_LETTERS: Final = r"[./0-9A-Za-z]"
_SALT: Final = r"(?!rounds=)[^\s$:;!*\\]{0,16}"
_BCRYPT: Final = rf"\$2[abxy]\$(?P<cost>[0-9]{{2}})\${_LETTERS}{{53}}"
_SHA_CRYPT: Final = (
    rf"\$(?:5\$(?:rounds=(?P<five>[1-9][0-9]{{3,8}})\$)?{_SALT}\${_LETTERS}{{43}}"
    rf"|6\$(?:rounds=(?P<six>[1-9][0-9]{{3,8}})\$)?{_SALT}\${_LETTERS}{{86}})"
)
_YESCRYPT: Final = rf"\$y\$j(?P<flavour>[0-9A-Za-z])[0-9A-Za-z]\${_LETTERS}{{0,86}}\${_LETTERS}{{43}}"
_B64: Final = r"[A-Za-z0-9+/]"
_FORMS: Final[Mapping[str, str]] = {
    "BLF-CRYPT": _BCRYPT,
    **dict.fromkeys(("CRYPT", "SHA256-CRYPT", "SHA512-CRYPT"), rf"{_BCRYPT}|{_SHA_CRYPT}|{_YESCRYPT}"),
    **dict.fromkeys(
        _ARGON,
        r"\$argon2id?\$v=19\$m=(?P<kib>[1-9][0-9]*),t=(?P<passes>[1-9][0-9]*),p=(?P<lanes>[1-9][0-9]{0,2})"
        rf"\${_B64}{{11,}}\${_B64}{{22,}}",
    ),
    "PBKDF2": r"\$1\$[^\s$:]{0,64}\$(?P<rounds>[1-9][0-9]*)\$[0-9A-Fa-f]{40}",
    "CRAM-MD5": r"[0-9A-Fa-f]{64}",
}
_SCRAM_FORM: Final = pattern(r"([1-9][0-9]*),([^,]*),([^,]+),([^,]+)", ASCII)
_READABLE: Final = {scheme: pattern(form, ASCII) for scheme, form in _FORMS.items()}
_MOST: Final = {"cost": 15, "five": 2_000_000, "six": 2_000_000, "rounds": 2_000_000, "kib": 262_144, "passes": 16}
"""What a hash may ask for: whoever writes one must not keep the processes busy that check everybody's password."""
_FLAVOURS: Final = "789ABCD"
"""Of yescrypt: D takes 256 MiB."""
_LEAST_COST: Final = 4
_LEAST_ROUNDS: Final = 4096
"""Dovecot refuses SCRAM with fewer."""
_KIB_OF_A_LANE: Final = 8


def recognised(text: bytes) -> str | Unusable | Plain | None:
    """Return the hash in a password Secret as the directory stores it.

    Args:
        text: One line without its end, any bytes.

    Returns:
        `{SCHEME}...` for a hash that Dovecot verifies, Unusable for another hash, Plain for a marked password, None for
        an ordinary password.
    """
    known = text.decode("latin-1")
    start = _AROUND.match(known)
    bare = known[start.end() :] if start else known
    found = _read(bare)
    if found is None or bare == known:
        return found
    return Unusable("write the hash alone, without a name, a quote or a space around it" + _BARE)


def _read(known: str) -> str | Unusable | Plain | None:
    braced = _BRACED.fullmatch(known)
    if braced:
        return _braced(braced[1].upper(), braced[2], braced[3])
    if not _MODULAR.fullmatch(known):
        return None
    for scheme, prefix in _PREFIXES:
        if prefix.match(known):
            read = _of_scheme(scheme, known)
            return Unusable(read.message + _BARE) if isinstance(read, Unusable) else read
    return Unusable("this kind of hash is not taken: " + _CURE + _BARE)


_PREFIXES: Final = (
    ("ARGON2ID", pattern(r"\$argon2id\$")),
    ("ARGON2I", pattern(r"\$argon2i\$")),
    ("BLF-CRYPT", pattern(r"\$2[abxy]\$")),
    ("SHA256-CRYPT", pattern(r"\$5\$")),
    ("SHA512-CRYPT", pattern(r"\$6\$")),
    ("CRYPT", pattern(r"\$y\$")),
)


def _braced(scheme: str, encoding: str | None, body: str) -> str | Unusable | Plain | None:
    if scheme not in _PLAIN and scheme not in _DIGESTS and scheme not in _SCRAM and scheme not in _FORMS:
        return _untaken(scheme, body)
    raw = body.encode("latin-1")
    if encoding is not None:
        decoder = _DECODERS.get(encoding.upper())
        decoded = decoder(body) if decoder else None
        if decoded is None:
            return Unusable(f"what follows {{{scheme}}} is not encoded as it says: write .B64 or .HEX and what fits it")
        if scheme in _DIGESTS:
            return _digest(scheme, decoded)
        raw = decoded
    return Plain(raw) if scheme in _PLAIN else _of_scheme(scheme, raw.decode("latin-1"))


def _untaken(scheme: str, body: str) -> Unusable | None:
    if _SWITCHED_OFF.fullmatch(scheme):
        return Unusable(f"Dovecot does not check {{{scheme}}}: {_CURE}{_BARE}")
    if _FOREIGN.fullmatch(scheme) or _ENCODED.fullmatch(body):
        return Unusable(f"what stands in braces is no scheme of Dovecot: {_CURE}{_BARE}")
    return None


def _of_scheme(scheme: str, body: str) -> str | Unusable:
    if scheme in _DIGESTS:
        return _bare_digest(scheme, body)
    if scheme in _SCRAM:
        return _scram(scheme, body)
    match = _READABLE[scheme].fullmatch(body)
    if match is None:
        return Unusable(f"what follows {{{scheme}}} {_UNREADABLE}; {_CURE}")
    asked = {name: value for name, value in match.groupdict().items() if value is not None}
    return _costs(asked) or f"{{{scheme}}}{_lower_case(scheme, body)}"


def _lower_case(scheme: str, body: str) -> str:
    """Return a hash whose hexadecimal digits are in lower case, as Dovecot compares them."""
    head, dollar, digest = body.rpartition("$")
    return head + dollar + digest.lower() if scheme in {"PBKDF2", "CRAM-MD5"} else body


def _costs(asked: Mapping[str, str]) -> Unusable | None:
    for name, limit in _MOST.items():
        if int(asked.get(name, 0)) > limit:
            return Unusable(_COSTLY.format(limit=limit))
    if asked.get("flavour", _FLAVOURS[0]) not in _FLAVOURS:
        return Unusable(_COSTLY.format(limit="$y$jD"))
    if int(asked.get("cost", _LEAST_COST)) < _LEAST_COST:
        return Unusable(f"a cost below {_LEAST_COST} is not taken: {_CURE}")
    if int(asked.get("lanes", 0)) * _KIB_OF_A_LANE > int(asked.get("kib", 0)):
        return Unusable(f"the hash asks for less memory than its lanes need: {_CURE}")
    return None


def _scram(scheme: str, body: str) -> str | Unusable:
    match = _SCRAM_FORM.fullmatch(body)
    salt, stored, server = (_base64(match[number]) for number in (2, 3, 4)) if match else (None, None, None)
    size = _SCRAM[scheme]
    if not match or salt is None or stored is None or server is None or len(stored) != size or len(server) != size:
        return Unusable(f"what follows {{{scheme}}} {_UNREADABLE}; {_CURE}")
    rounds = int(match[1])
    if rounds < _LEAST_ROUNDS:
        return Unusable(f"fewer than {_LEAST_ROUNDS} rounds are not taken: {_CURE}")
    if rounds > _MOST["rounds"]:
        return Unusable(_COSTLY.format(limit=_MOST["rounds"]))
    return f"{{{scheme}}}{rounds}," + ",".join(b64encode(part).decode() for part in (salt, stored, server))


def _bare_digest(scheme: str, body: str) -> str | Unusable:
    """Return a digest without a named encoding: base64, or hexadecimal for one without a salt."""
    size, salted = _DIGESTS[scheme]
    digits = _hexadecimal(body)
    if digits is not None and len(digits) >= size:
        if salted:
            return Unusable(f"write {{{scheme}.HEX}} before a hash in hexadecimal digits")
        return _digest(scheme, digits)
    raw = _base64(body)
    return Unusable(f"what follows {{{scheme}}} {_UNREADABLE}; {_CURE}") if raw is None else _digest(scheme, raw)


def _digest(scheme: str, raw: bytes) -> str | Unusable:
    size, salted = _DIGESTS[scheme]
    if len(raw) < size + salted or (len(raw) > size and not salted):
        return Unusable(f"what follows {{{scheme}}} {_UNREADABLE}; {_CURE}")
    return f"{{{scheme}}}{b64encode(raw).decode()}"


def _base64(text: str) -> bytes | None:
    try:
        return b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)
    except (Error, ValueError):
        return None


def _hexadecimal(text: str) -> bytes | None:
    try:
        return unhexlify(text)
    except (Error, ValueError):
        return None


_DECODERS: Final[Mapping[str, Callable[[str], bytes | None]]] = {
    "B64": _base64,
    "BASE64": _base64,
    "HEX": _hexadecimal,
}
