"""Shows the whole way once: a cluster, the operator, a platform from YAML, a message submitted, delivered and verified.

It leaves everything in place to play with, and says how to go on and how to remove it.
"""

from __future__ import annotations

import base64
import json
import smtplib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

import dkim

from e2e.clients import Account, letter, wait_for_message
from e2e.cluster import lifecycle
from e2e.cluster.steps import StepError, step
from tools import install, reach
from tools.install import ROOT, Cluster

NAMESPACE = "mail"
NAME = "mail"
HOSTNAME = "mail.example.org"
DOMAIN = "example.org"
PEOPLE = ("alice", "bob")
PASSWORDS = "passwords"
EXAMPLES = ROOT / "examples/quickstart"
READY_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Demo:
    """The cluster and the namespace that the demo plays in."""

    cluster: Cluster

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self.cluster.run(self.cluster.kubectl, "-n", NAMESPACE, *arguments, stdin=stdin)

    def read(self, kind: str, name: str) -> dict[str, Any]:
        """Return an object, or nothing where there is none yet."""
        printed = self.kubectl("get", kind, name, "--ignore-not-found", "-o", "json")
        found: dict[str, Any] = json.loads(printed) if printed.strip() else {}
        return found

    def secret(self, name: str) -> dict[str, str]:
        encoded = self.read("secret", name).get("data", {})
        return {key: base64.b64decode(value).decode() for key, value in encoded.items()}

    def condition(self, kind: str, name: str) -> tuple[bool, str]:
        """Tell whether an object is in force as it is now, and what its Ready condition says."""
        found = self.read(kind, name)
        generation = found.get("metadata", {}).get("generation")
        for one in found.get("status", {}).get("conditions", []):
            if one["type"] == "Ready":
                current = one.get("observedGeneration") == generation
                return current and one["status"] == "True", f"{one['reason']}: {one['message']}"
        return False, "not seen by the operator yet"


def progress(demo: Demo, kind: str, name: str) -> None:
    """Wait until an object is in force, and print each change of what it says meanwhile."""
    started, said = time.monotonic(), ""
    while True:
        ready, message = demo.condition(kind, name)
        elapsed = time.monotonic() - started
        if ready or message != said:
            print(f"  {kind} {name}: {'ready' if ready else message} ({elapsed:.1f} s)", file=sys.stderr, flush=True)
            said = message
        if ready:
            return
        if elapsed > READY_SECONDS:
            pods = demo.kubectl("get", "pods", "-o", "wide")
            raise StepError(f"{kind} {name} is not ready after {READY_SECONDS} s: {message}\n{pods}")
        time.sleep(0.5)


def timed(times: dict[str, float], what: str, action: Callable[[], Any]) -> Any:  # noqa: ANN401  what the action returns
    """Run one action and note how long it took."""
    started = time.monotonic()
    result = action()
    times[what] = time.monotonic() - started
    return result


def submit(account: Account, message: EmailMessage) -> None:
    """Send a message as its author would: port 587, STARTTLS, AUTH."""
    with account.submission(587) as session:
        session.send_message(message)


def signed(demo: Demo, message: bytes) -> bool:
    """Check the DKIM signature against the record that the MailDomain shows, as if it were in the DNS."""
    status = demo.read("maildomain", DOMAIN).get("status", {}).get("dkim", {})
    name, record = str(status.get("name", "")).rstrip("."), str(status.get("record", ""))

    def look_up(wanted: bytes | str, timeout: int = 5) -> bytes:  # noqa: ARG001  dkimpy passes one
        asked = wanted.decode() if isinstance(wanted, bytes) else wanted
        return record.encode() if asked.rstrip(".") == name else b""

    return bool(dkim.verify(message, dnsfunc=look_up))


def exchange(demo: Demo) -> tuple[bytes, dict[str, float]]:
    """Let alice write to bob, and read the message as bob; return it as stored, and the times."""
    ca = demo.secret(f"{NAME}-selfsigned")["ca.crt"]
    words = demo.secret(PASSWORDS)
    alice, bob = (Account(HOSTNAME, person, words[person], ca) for person in PEOPLE)
    message = letter(f"alice@{DOMAIN}", f"bob@{DOMAIN}", "A first letter", "Dear Bob,\n\nthe post is here.\n\nAlice\n")
    times: dict[str, float] = {}
    with reach.platform(demo.cluster, NAMESPACE, NAME, HOSTNAME):
        timed(times, "submitted over 587 with STARTTLS and AUTH", lambda: submit(alice, message))
        stored = timed(times, "read back over IMAP", lambda: wait_for_message(bob, message["Message-ID"], timeout=60))
    return stored, times


def set_up() -> Demo:
    """Bring up cluster, operator and platform, and wait until all of it is in force."""
    cluster = install.at_hand()
    demo = Demo(cluster)
    install.install(cluster)
    with step(f"applying {EXAMPLES.relative_to(ROOT)}"):
        cluster.run(cluster.kubectl, "apply", "--server-side", "-f", str(EXAMPLES))
    progress(demo, "mailserver", NAME)
    progress(demo, "maildomain", DOMAIN)
    for person in PEOPLE:
        progress(demo, "mailbox", person)
    return demo


def report(demo: Demo, stored: bytes, times: dict[str, float], *, genuine: bool) -> None:
    """Print what came of it."""
    print("\n" + stored.decode(errors="replace").replace("\r\n", "\n"))
    print(f"DKIM against the record in the status of MailDomain {DOMAIN}: {'valid' if genuine else 'NOT VALID'}")
    for what, seconds in times.items():
        print(f"{what}: {seconds:.2f} s")
    print("\n" + demo.kubectl("get", "mail"))


def farewell(demo: Demo) -> None:
    """Say how to go on, and how to remove everything."""
    kubeconfig, kubectl = demo.cluster.kubeconfig, demo.cluster.kubectl
    print("The platform stays up. Go on with:")
    if demo.cluster.embedded:
        print("  eval $(python3 -m e2e.cluster env)     # kubectl, helm and KUBECONFIG of the embedded cluster")
    else:
        print(f"  export KUBECONFIG={kubeconfig}         # kubectl: {kubectl}")
    print(f"  kubectl -n {NAMESPACE} get mail           # every object, and whether it is in force")
    print(f"  kubectl -n {NAMESPACE} get secret {PASSWORDS} -o yaml   # the passwords, base64")
    print(f"  kubectl -n {NAMESPACE} describe maildomain {DOMAIN}    # the DNS record of the signature")
    print("Remove it with: make demo-down")


def tear_down() -> int:
    """Remove the demo: the embedded cluster whole, from any other the example and the operator."""
    try:
        if not install.is_foreign():
            lifecycle.down()
            return 0
        cluster = install.at_hand()
        for path in sorted(EXAMPLES.glob("[1-9]*.yaml")):
            cluster.run(cluster.kubectl, "delete", "--ignore-not-found", "-f", str(path))
        install.uninstall(cluster)
    except StepError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"The mail stays in the claims of the namespace; remove it with: kubectl delete namespace {NAMESPACE}")
    print("The definitions stay; remove them with: kubectl delete crd -l app.kubernetes.io/name=postboat")
    return 0


def play() -> int:
    """Play the demo; succeed only when the message came back and its signature holds."""
    started = time.monotonic()
    try:
        demo = set_up()
        stored, times = exchange(demo)
        genuine = signed(demo, stored)
    except (StepError, AssertionError, OSError, smtplib.SMTPException) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    report(demo, stored, times, genuine=genuine)
    print(f"from the start to here: {time.monotonic() - started:.0f} s\n")
    farewell(demo)
    return 0 if genuine else 1


def main() -> int:
    """Play the demo, or with `down` remove it."""
    if sys.argv[1:] == ["down"]:
        return tear_down()
    return play()


if __name__ == "__main__":
    sys.exit(main())
