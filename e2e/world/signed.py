"""A signed zone of the outside world, and a resolver that validates it (RFC 4033): Unbound, with the key as its anchor.

The cluster's DNS hands questions about the zone on to the resolver, and passes the AD bit of its answers on.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.zone
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate
from dns.rdtypes.ANY.RRSIG import RRSIG

from e2e.cluster import packages
from e2e.cluster.steps import run
from e2e.world.place import Place

PROGRAMS = {"unbound": ("unbound",), "ldns-signzone": ("ldnsutils",)}
TTL = 1
Records = Mapping[str, Sequence[str]]

# The zone is read from a file and validated like any other; answers are never older than a second.
CONFIGURATION = """\
server:
    chroot: ""
    username: ""
    directory: "{folder}"
    pidfile: ""
    use-syslog: no
    do-daemonize: no
    do-ip6: no
    interface: {address}
    access-control: 0.0.0.0/0 allow
    module-config: "validator iterator"
    trust-anchor-file: "{folder}/anchor"
    local-zone: "test." nodefault
    cache-max-ttl: {ttl}
    cache-max-negative-ttl: {ttl}
    val-bogus-ttl: {ttl}
    val-log-level: 2
remote-control:
    control-enable: no
auth-zone:
    name: "{origin}"
    zonefile: "{folder}/zone"
    for-downstream: no
    for-upstream: yes
    fallback-enabled: no
"""


@dataclass(slots=True)
class SignedZone:
    """One zone and its resolver, which runs from the first `publish` to `stop`."""

    origin: str
    address: str
    place: Place
    folder: Path
    asked: str
    process: subprocess.Popen[bytes] | None = None

    def publish(self, records: Records, *, bogus: Collection[str] = ()) -> None:
        """Sign and serve names below the origin; the signatures of the names in `bogus` are not right."""
        packages.ensure(PROGRAMS)
        self.stop()
        self.place.add_address(self.address)
        zone = self._signed(records)
        for name in bogus:
            _spoil(zone, name)
        (self.folder / "zone").write_text(zone.to_text(relativize=False))
        values = {"folder": self.folder, "address": self.address, "origin": self.origin, "ttl": TTL}
        (self.folder / "unbound.conf").write_text(CONFIGURATION.format(**values))
        command = [str(_copied("unbound", self.folder)), "-d", "-c", str(self.folder / "unbound.conf")]
        self.process = self.place.start(command, self.folder / "log")
        self._wait()

    def validated(self, name: str, kind: str) -> bool:
        """Ask the cluster's DNS as Postfix does, and tell whether the answer is a validated one."""
        answer = self._ask(name, kind)
        return bool(answer.answer and answer.flags & dns.flags.AD)

    def stop(self) -> None:
        """End the resolver: questions about the zone get SERVFAIL from now on."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def _signed(self, records: Records) -> dns.zone.Zone:
        """Make a key, which becomes the anchor, and sign the zone with it (RFC 4035, 2)."""
        lines = [f"@ {TTL} IN SOA ns hostmaster {int(time.time())} 60 60 60 {TTL}", f"@ {TTL} IN NS ns"]
        lines.append(f"ns {TTL} IN A {self.address}")
        lines += [f"{name} {TTL} IN {record}" for name, values in sorted(records.items()) for record in values]
        self.folder.mkdir(exist_ok=True)
        (self.folder / "unsigned").write_text("\n".join([f"$ORIGIN {self.origin}.", *lines]) + "\n")
        key = run(["ldns-keygen", "-a", "ECDSAP256SHA256", "-k", self.origin], folder=self.folder).strip()
        run(["ldns-signzone", "-f", "signed", "unsigned", key], folder=self.folder)
        (self.folder / f"{key}.key").replace(self.folder / "anchor")
        return dns.zone.from_file(str(self.folder / "signed"), origin=f"{self.origin}.", relativize=False)

    def _ask(self, name: str, kind: str) -> dns.message.Message:
        query = dns.message.make_query(name, kind, want_dnssec=True)
        return dns.query.udp_with_fallback(query, self.asked, timeout=3)[0]

    def _wait(self, seconds: float = 15) -> None:
        deadline = time.monotonic() + seconds
        while not self._answers():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.origin} is not served: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            return self.validated(self.origin, "SOA")
        except dns.exception.Timeout:
            return False


def _copied(program: str, folder: Path) -> Path:
    """Copy a program: at its own place, Debian's AppArmor profile lets it read nothing of ours."""
    found = shutil.which(program)
    assert found is not None
    return Path(shutil.copy(found, folder))


def tlsa(certificate: Path) -> str:
    """Give the record that a certificate with this key matches, whoever signed it (DANE-EE(3), RFC 7671, 5.1)."""
    key = load_pem_x509_certificate(certificate.read_bytes()).public_key()
    return f"TLSA 3 1 1 {sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()}"


def tlsa_of_certificate(certificate: Path) -> str:
    """Give the record that this certificate alone matches, until it is renewed (selector Cert(0), RFC 6698, 2.1.2)."""
    whole = load_pem_x509_certificate(certificate.read_bytes()).public_bytes(Encoding.DER)
    return f"TLSA 3 0 1 {sha256(whole).hexdigest()}"


def _spoil(zone: dns.zone.Zone, name: str) -> None:
    """Make the signatures of what a name has wrong, and leave those that deny what it has not."""
    node = zone.find_node(f"{name}.{zone.origin}")
    of = [records.covers for records in node if records.rdtype == dns.rdatatype.RRSIG]
    for covered in {*of} - {dns.rdatatype.NSEC}:
        (signature,) = node.find_rdataset(dns.rdataclass.IN, dns.rdatatype.RRSIG, covered)
        assert isinstance(signature, RRSIG)
        spoilt = signature.replace(signature=signature.signature[::-1])
        node.replace_rdataset(dns.rdataset.from_rdata(TTL, spoilt))
