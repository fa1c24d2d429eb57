"""The configuration of a MailServer without domains and mailboxes: settings, certificate, keys, and what is missing.

It does not change when a domain or a mailbox does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from postboat.api.mailserver import MailServerSpec
from postboat.api.resource import Refusal, Resource
from postboat.model import certificates, defaults, names
from postboat.model.kinds import fields_verdict
from postboat.model.passwords import Place, referenced_password
from postboat.model.platform import (
    Certificate,
    Environment,
    InternalSecrets,
    Junk,
    Platform,
    Shard,
    Wanted,
    WantedKind,
)
from postboat.model.references import internal_secret, self_signed_secret, smtp_secret
from postboat.model.snapshot import SecretContent
from postboat.model.verdict import DELETING, Reason, Verdict

_MASTER_PLACE: Final = Place("spec.masterUser.passwordSecret", "there is no master user")
_INTERNAL_KEYS: Final = (
    "ca.crt",
    "ca.key",
    "client.crt",
    "client.key",
    "hash-key",
    "master-password",
    "operator-token",
    "rspamd-enable-password",
    "rspamd-password",
    "smtp.crt",
    "smtp.key",
    "store.crt",
    "store.key",
    "valkey-password",
)


@dataclass(frozen=True, slots=True)
class Site:
    """A platform without domains and mailboxes, or the reason why there is none."""

    verdict: Verdict
    """The verdict about the MailServer."""
    wanted: tuple[Wanted, ...]
    """Secrets that the controller has to make."""
    stores: int
    """Number of stores that take new mailboxes, at least 1."""
    hash_key: bytes
    """Key from which the salts of password hashes are derived; b"" while there is none."""
    base: Platform | None
    """The platform; None while the spec is invalid, or keys or certificate are missing."""
    certificate_verdict: Verdict | None = None
    """What is wrong with the Secret in `spec.tls`; None when nothing is."""
    quota: int = 0
    """Default quota of mailboxes in bytes; 0 means no quota."""
    junk: Junk = field(default_factory=Junk)
    """Default of what happens to spam."""

    def platform(
        self, parts: Mapping[str, Any], directory: tuple[Shard, ...], highest: int, placed: int
    ) -> Platform | None:
        """Return the platform with domains, mailboxes and other objects; None while there is none.

        Args:
            parts: What other kinds add, by field of `Platform`.
            directory: The 64 directory shards.
            highest: Number of the highest store that must not be removed; -1 when there is none.
            placed: Number of the highest store with a mailbox in force; -1 when there is none.
        """
        if self.base is None:
            return None
        stores = replace(self.base.stores, replicas=max(self.base.stores.requested, highest + 1), placed=placed)
        return replace(self.base, directory=directory, stores=stores, **parts)


def settle_site(
    resource: Resource, environment: Environment, secrets: Mapping[str, SecretContent], now: datetime
) -> Site:
    """Decide about a MailServer alone.

    Args:
        secrets: Contents of Secrets by name.
        now: In UTC, for certificates.
    """
    spec = resource.spec
    if not isinstance(spec, MailServerSpec):
        message, path = (spec.message, spec.path) if isinstance(spec, Refusal) else ("this is no MailServer", "")
        return Site(Verdict(Reason.INVALID, message, path), (), 1, b"", None)
    stores = defaults.store_count(spec)
    if resource.deleting:
        return Site(DELETING, (), stores, b"", None)
    internal = secrets.get(internal_secret(resource.name))
    wanted = list(_wanted_internal(resource, environment, internal, now))
    certificate, fault, lacking = _certificate(resource.name, spec, secrets, now)
    wanted.extend(lacking)
    key = internal.data.get("hash-key", b"") if internal is not None else b""
    master = _master_password(resource.name, spec, secrets, key)
    base = None
    if certificate is not None and not certificates.missing(internal, _INTERNAL_KEYS) and internal is not None:
        base = _base(resource, spec, environment, certificate, _internal(internal.data))
        base = base if isinstance(master, Verdict) else replace(base, imap=replace(base.imap, master_password=master))
    trouble = fault or (master if isinstance(master, Verdict) else None)
    verdict = replace(trouble, effective=base is not None) if trouble is not None else fields_verdict(resource)
    return Site(verdict, tuple(wanted), stores, key, base, fault, *defaults.mailbox_defaults(spec))


def _master_password(
    name: str, spec: MailServerSpec, secrets: Mapping[str, SecretContent], key: bytes
) -> str | Verdict:
    """Return the password hash of the master user; a colon in it is a fault, since it is a field of a passwd file."""
    reference = spec.master_user.password_secret if spec.master_user is not None else None
    place = replace(_MASTER_PLACE, servers=(name,))
    password = referenced_password(reference, names.MASTER_USER, secrets, key, place)
    if isinstance(password, str) and ":" in password:
        return Verdict(Reason.INVALID_SECRET, "the hash of the master user contains a colon", _MASTER_PLACE.path)
    return password


def _wanted_internal(
    resource: Resource, environment: Environment, internal: SecretContent | None, now: datetime
) -> list[Wanted]:
    inside = f"{resource.namespace}.svc.{environment.cluster_domain}"
    stores = (f"*.{resource.name}-store.{inside}",)
    pods = f"{resource.name}-smtp-pods.{inside}"
    hosts = {"store.crt": stores, "smtp.crt": (pods, f"*.{pods}"), "client.crt": ()}
    why = ", ".join(certificates.missing(internal, _INTERNAL_KEYS))
    if not why and internal is not None:
        held = internal.data
        faults = {
            entry: certificates.worn(held[entry], covered, now)
            or certificates.misfit(held[entry], held[_key_of(entry)], held["ca.crt"])
            for entry, covered in hosts.items()
        }
        faults["ca.crt"] = certificates.ageing(held["ca.crt"], held.get("next.crt", b""), now) or certificates.misfit(
            held["ca.crt"], held["ca.key"]
        )
        why = ", ".join(f"{key}: {fault}" for key, fault in faults.items() if fault)
    if not why:
        return []
    return [Wanted(WantedKind.INTERNAL, internal_secret(resource.name), stores, hosts["smtp.crt"], why=why)]


def _key_of(entry: str) -> str:
    return f"{entry.removesuffix('.crt')}.key"


def _certificate(
    name: str, spec: MailServerSpec, secrets: Mapping[str, SecretContent], now: datetime
) -> tuple[Certificate | None, Verdict | None, tuple[Wanted, ...]]:
    fault = None
    if spec.tls is not None and spec.tls.secret_name is not None:
        given = certificates.from_secret(secrets.get(spec.tls.secret_name), spec.tls.secret_name, now)
        if isinstance(given, Certificate):
            return given, None, ()
        last = certificates.last_good(secrets.get(smtp_secret(name)))
        word = "the last good certificate stays" if last is not None else "a self-signed certificate stands in"
        fault = replace(given, message=f"{given.message}; {word}")
        if last is not None:
            return last, fault, ()
    own = certificates.self_signed(secrets.get(self_signed_secret(name)))
    host = spec.hostname.lower()
    why = "it does not exist"
    if own is not None:
        why = certificates.worn(own.chain, (host,), now) or certificates.misfit(own.chain, own.key)
    lacking = (Wanted(WantedKind.SELF_SIGNED, self_signed_secret(name), (host,), why=why),) if why else ()
    return own, fault, lacking


def _internal(data: Mapping[str, bytes]) -> InternalSecrets:
    return InternalSecrets(
        ca=data["ca.crt"],
        store_chain=data["store.crt"],
        store_key=data["store.key"],
        client_chain=data["client.crt"],
        client_key=data["client.key"],
        smtp_chain=data["smtp.crt"],
        smtp_key=data["smtp.key"],
        master_password=_word(data["master-password"]),
        hash_key=data["hash-key"],
        valkey_password=_word(data["valkey-password"]),
        rspamd_password=_word(data["rspamd-password"]),
        rspamd_enable_password=_word(data["rspamd-enable-password"]),
        operator_token=_word(data["operator-token"]),
    )


def _word(content: bytes) -> str:
    """Return a generated password without characters other than letters and digits, since none are generated."""
    return "".join(character for character in content.decode("ascii", "ignore") if character.isalnum())


def _base(
    resource: Resource,
    spec: MailServerSpec,
    environment: Environment,
    certificate: Certificate,
    internal: InternalSecrets,
) -> Platform:
    return Platform(
        name=resource.name,
        namespace=resource.namespace,
        uid=resource.uid,
        environment=environment,
        hostname=spec.hostname.lower(),
        certificate=certificate,
        internal=internal,
        client_service=defaults.client_service(spec),
        smtp=defaults.smtp(spec),
        imap=defaults.imap(spec),
        stores=defaults.stores(spec),
        filter_replicas=defaults.filter_replicas(spec),
        valkey=defaults.valkey_volume(spec),
        scheduling=defaults.scheduling(spec),
        domains=(),
        directory=(Shard(),) * names.SHARDS,
    )
