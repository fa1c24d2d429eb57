"""The words of the API: addresses, domains, hosts, networks, amounts, references.

Each is a string with a length and a pattern that means the same to Go (the API server) and to Rust (pydantic), both
anchored, so that no newline, NUL or other control character ever enters through them.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final, cast

from pydantic import Field, PlainValidator, Strict, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from postboat.api.base import Model

# Parts of patterns. A label is LDH or, for names in other scripts, letters, marks and digits of Unicode.
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_LOCAL_PART: Final = rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~]{_ATOM}*(\.{_ATOM}+)*"
_ALNUM: Final = r"[0-9A-Za-z\p{L}\p{M}\p{N}]"
_LABEL: Final = rf"{_ALNUM}([0-9A-Za-z\p{{L}}\p{{M}}\p{{N}}-]*{_ALNUM})?"
_TOP_LABEL: Final = rf"[A-Za-z\p{{L}}]([0-9A-Za-z\p{{L}}\p{{M}}\p{{N}}-]*{_ALNUM})?"
_DOMAIN: Final = rf"({_LABEL}\.)+{_TOP_LABEL}"
_LDH: Final = r"[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?"
_TOP_LDH: Final = r"[A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?"
_DNS_LABEL: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_OCTET: Final = r"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4: Final = rf"{_OCTET}(\.{_OCTET}){{3}}"
_HEXTET: Final = r"[0-9A-Fa-f]{1,4}"
_IPV6: Final = (
    rf"(({_HEXTET}:){{7}}{_HEXTET}|({_HEXTET}:){{1,7}}:|({_HEXTET}:){{1,6}}:{_HEXTET}"
    rf"|({_HEXTET}:){{1,5}}(:{_HEXTET}){{1,2}}|({_HEXTET}:){{1,4}}(:{_HEXTET}){{1,3}}"
    rf"|({_HEXTET}:){{1,3}}(:{_HEXTET}){{1,4}}|({_HEXTET}:){{1,2}}(:{_HEXTET}){{1,5}}"
    rf"|{_HEXTET}:(:{_HEXTET}){{1,6}}|:((:{_HEXTET}){{1,7}}|:))"
)
_PREFIX_V4: Final = r"(/(3[0-2]|[12]?[0-9]))"
_PREFIX_V6: Final = r"(/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))"
_UNIT: Final = r"(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?"

EMAIL: Final = rf"^{_LOCAL_PART}@{_DOMAIN}$"
LOCAL_PART: Final = rf"^{_LOCAL_PART}$"
DOMAIN: Final = rf"^{_DOMAIN}$"
DOMAIN_OF_SENDER: Final = rf"^({_LOCAL_PART})?@{_DOMAIN}$"
EMAIL_OR_DOMAIN: Final = rf"^({_LOCAL_PART}@)?{_DOMAIN}$"
HOSTNAME: Final = rf"^({_LDH}\.)+{_TOP_LDH}$"
HOST: Final = rf"^(({_LDH}\.)*{_TOP_LDH}|{_IPV4}|{_IPV6})$"
NETWORK: Final = rf"^({_IPV4}{_PREFIX_V4}?|{_IPV6}{_PREFIX_V6}?)$"
CIDR: Final = rf"^({_IPV4}{_PREFIX_V4}|{_IPV6}{_PREFIX_V6})$"
USERNAME: Final = r"^[a-z0-9_]([a-z0-9_-]|\.[a-z0-9_-])*$"
OBJECT_NAME: Final = rf"^{_DNS_LABEL}(\.{_DNS_LABEL})*$"
SERVER_NAME: Final = rf"^{_DNS_LABEL}$"
DATA_KEY: Final = r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$"
QUANTITY: Final = rf"^[0-9]{{1,15}}(\.[0-9]{{1,3}})?{_UNIT}$"
SIZE: Final = rf"^[1-9][0-9]{{0,14}}(\.[0-9]{{1,3}})?{_UNIT}$"
DURATION: Final = r"^([1-9][0-9]{0,5}[smhdw])+$"
LINE: Final = r"^[^\p{Cc}\x{2028}\x{2029}]*$"
TEXT: Final = r"^[^\x{00}-\x{08}\x{0b}\x{0c}\x{0e}-\x{1f}\x{7f}]*$"
SELECTOR: Final = rf"^{_DNS_LABEL}(\.{_DNS_LABEL})*$"
FORMAT: Final = r"^[a-z0-9][a-z0-9.+-]*$"
URL: Final = r"^https?://[!-~]+$"

HINTS: Final[Mapping[str, str]] = {
    EMAIL: "an e-mail address, like info@example.com",
    LOCAL_PART: "the part of an address before the @, like info or jane.doe",
    DOMAIN: "a domain name, like example.com",
    DOMAIN_OF_SENDER: "an address like jane@example.com, or a domain with the @ before it, like @example.com",
    EMAIL_OR_DOMAIN: "an address like jane@example.com, or a domain like example.com",
    HOSTNAME: "a full host name, like mail.example.com",
    HOST: "a host name or an IP address without brackets, like smtp.example.net or 192.0.2.25",
    NETWORK: "an IP address or a network, like 192.0.2.25 or 192.0.2.0/24",
    CIDR: "a network with its prefix length, like 192.0.2.0/24 or 2001:db8::/32",
    USERNAME: "a user name of a-z, 0-9, dot, hyphen and underscore, in lower case, like jane.doe",
    OBJECT_NAME: "a name of a-z, 0-9, hyphen and dot, in lower case",
    SERVER_NAME: "the name of a MailServer: a-z, 0-9 and hyphen, in lower case",
    DATA_KEY: "a key of a Secret: letters, digits, hyphen, underscore and dot",
    QUANTITY: "an amount of bytes as a string, like 20Mi or 1Gi",
    SIZE: "an amount of bytes above zero as a string, like 20Mi or 1Gi",
    DURATION: "a duration above zero, like 30s, 15m, 4d or 1h30m",
    LINE: "one line of text without control characters",
    TEXT: "text without control characters",
    FORMAT: "the ending of a file name without the dot, in lower case, like zip or tar.gz",
    URL: "an http or https URL",
}

EmailAddress = Annotated[str, StringConstraints(pattern=EMAIL, max_length=254)]
LocalPart = Annotated[str, StringConstraints(pattern=LOCAL_PART, max_length=64)]
DomainName = Annotated[str, StringConstraints(pattern=DOMAIN, max_length=253)]
SenderPattern = Annotated[str, StringConstraints(pattern=DOMAIN_OF_SENDER, max_length=254)]
AddressOrDomain = Annotated[str, StringConstraints(pattern=EMAIL_OR_DOMAIN, max_length=254)]
HostName = Annotated[str, StringConstraints(pattern=HOSTNAME, max_length=253)]
Host = Annotated[str, StringConstraints(pattern=HOST, max_length=253)]
Network = Annotated[str, StringConstraints(pattern=NETWORK, max_length=43)]
Cidr = Annotated[str, StringConstraints(pattern=CIDR, max_length=43)]
Username = Annotated[str, StringConstraints(pattern=USERNAME, max_length=64)]
ObjectName = Annotated[str, StringConstraints(pattern=OBJECT_NAME, max_length=253)]
ServerName = Annotated[str, StringConstraints(pattern=SERVER_NAME, max_length=40)]
SecretKey = Annotated[str, StringConstraints(pattern=DATA_KEY, max_length=253)]
Quantity = Annotated[str, StringConstraints(pattern=QUANTITY, max_length=24)]
Size = Annotated[str, StringConstraints(pattern=SIZE, max_length=24)]
Duration = Annotated[str, StringConstraints(pattern=DURATION, max_length=32)]
Selector = Annotated[str, StringConstraints(pattern=SELECTOR, max_length=63)]
FileFormat = Annotated[str, StringConstraints(pattern=FORMAT, max_length=32)]
Url = Annotated[str, StringConstraints(pattern=URL, max_length=1024)]
Line = Annotated[str, StringConstraints(pattern=LINE, max_length=255)]
Flag = Annotated[bool, Strict()]
Port = Annotated[int, Strict(), Field(ge=1, le=65535)]
Replicas = Annotated[int, Strict(), Field(ge=1, le=64)]
Count = Annotated[int, Strict(), Field(ge=0, le=2**53)]

AMOUNT: Final = r"^[0-9]{1,18}(\.[0-9]{1,9})?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$"


def _amount(value: object) -> int | str:
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 2**53
    is_text = isinstance(value, str) and re.fullmatch(AMOUNT, value, re.ASCII) is not None and value[-1] != "\n"
    if not (is_number or is_text):
        raise PydanticCustomError("amount", "write an amount, like 2, 500m or 1Gi")
    return cast("int | str", value)


Amount = Annotated[
    int | str,
    PlainValidator(_amount),
    WithJsonSchema(
        {"x-kubernetes-int-or-string": True, "maxLength": 32, "maximum": 2**53, "minimum": 0, "pattern": AMOUNT}
    ),
]


class SecretKeyRef(Model):
    """One key of one Secret in the same namespace."""

    name: ObjectName
    """Name of the Secret."""
    key: SecretKey
    """Key within the Secret."""


class OutgoingTls(StrEnum):
    """How a connection to another mail server is protected."""

    NONE = "None"
    OPPORTUNISTIC = "Opportunistic"
    REQUIRED = "Required"
    VERIFIED = "Verified"


class RelayHostTls(StrEnum):
    """How a connection to a relay host is protected: as to any other server, or as its TLSA records say (RFC 7672)."""

    NONE = "None"
    OPPORTUNISTIC = "Opportunistic"
    REQUIRED = "Required"
    VERIFIED = "Verified"
    DANE = "DANE"


class Switch(StrEnum):
    """On or off, where absence means that a higher setting decides."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"


class ReclaimPolicy(StrEnum):
    """What becomes of the mail of a deleted mailbox."""

    RETAIN = "Retain"
    DELETE = "Delete"


class Junk(Model):
    """What happens to mail that the filter has flagged as spam."""

    move: Flag | None = None
    """Deliver flagged mail to the folder Junk instead of the inbox; true when absent, here and in the MailServer."""
    retention: Duration | None = None
    """How long mail stays in Junk before it is expunged, like 30d; 15d when absent, here and in the MailServer."""
