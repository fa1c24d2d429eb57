"""The reference of the benchmark: Postfix and Dovecot of the same images, started by hand, with a platform's settings.

Postfix delivers over a unix socket to Dovecot, which checks passwords itself and keeps the mail: one of each, and
nothing between them. Both use the platform's filter, its certificate and its directory.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Self

from e2e.bench.rootfs import unpack
from e2e.kube import eventually
from e2e.platform import Platform
from postboat.agent.general import Expansion, listed
from postboat.agent.mailstore.ledger import Ledger
from tests.golden.rows import rows_of

SMTP, IMAPS = 20025, 20993
ACTIVE, TABLES = "run/postboat/active", "var/lib/postboat/tables"
VMAIL = 5000
_POSTFIX = """
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_milters = inet:{filter}:11332
lmtp_tls_wrappermode = no
lmtp_tls_security_level = none
"""
_DOVECOT = """
login_trusted_networks =
ssl_server {{
  cert_file = /{active}/tls.crt
  key_file = /{active}/tls.key
}}
passdb hand {{
  driver = sql
  sql_driver = sqlite
  sql_query = SELECT password FROM logins WHERE user = '%{{user | username}}'
  default_password_scheme = CRYPT
}}
service lmtp {{
  executable = lmtp
  inet_listener lmtp {{
    port = 0
  }}
  unix_listener /run/shared/lmtp {{
    mode = 0666
  }}
}}
service imap-login {{
  inet_listener imap {{
    port = 0
  }}
  inet_listener hand {{
    port = {imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = 0
  }}
}}
service managesieve-login {{
  inet_listener sieve {{
    port = 0
  }}
}}
service quota-status {{
  inet_listener policy {{
    port = 0
  }}
}}
"""
Rows = Mapping[str, list[list[str]]]


class Reference:
    """Two daemons below a folder; `with` starts them and ends them."""

    def __init__(self, platform: Platform, folder: Path, archives: Mapping[str, Path]) -> None:
        self.platform = platform
        self.folder = folder
        self.archives = archives
        self.running: list[subprocess.Popen[bytes]] = []
        self.mail = folder / "dovecot/srv/mail"

    def __enter__(self) -> Self:
        for name in ("postfix", "dovecot"):
            unpack(self.archives[name], self.folder / name)
        shared = self.folder / "shared"
        shared.mkdir()
        shutil.chown(shared, VMAIL, VMAIL)
        self._dovecot()
        self._postfix()
        eventually(lambda: all(_answers(port) for port in (SMTP, IMAPS)), "the daemons answer", timeout=60)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.running:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            for first in children.read_text().split():  # of its namespace: all others end with it
                os.kill(int(first), signal.SIGKILL)
            process.kill()
            process.wait()

    def _files(self, unit: str, root: Path) -> Path:
        """Write the files of one container as its agent would, and return the folder."""
        kube, name = self.platform.kube, f"{self.platform.name}-{unit}"
        found = kube.get("v1", "ConfigMap", self.platform.namespace, name)
        assert found is not None, f"no ConfigMap {name}"
        contents = {key: text.encode() for key, text in found["data"].items()}
        contents |= kube.secret(self.platform.namespace, name)
        active = root / ACTIVE
        active.mkdir(parents=True, exist_ok=True)
        (active / "manifest.json").write_bytes(contents["manifest.json"])
        for entry in json.loads(contents["manifest.json"])["files"]:
            place = active / entry["path"]
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(contents[entry["key"]])
        return active

    def _rows(self, key: str) -> Rows:
        """Read all tables of one kind of container from the shards."""
        rows: dict[str, list[list[str]]] = {}
        prefix = f"{self.platform.name}-directory-"
        kube, namespace = self.platform.kube, self.platform.namespace
        found = [secret["metadata"]["name"] for secret in kube.objects("v1", "Secret", namespace)]
        shards = [kube.secret(namespace, name) for name in found if name.startswith(prefix)]
        contents = [shard[key] for shard in shards if key in shard]
        expansion = Expansion(listed(contents))
        for content in contents:
            for table, row in rows_of(content, expansion):
                rows.setdefault(table, []).append([*row])
        return rows

    def _dovecot(self) -> None:
        root = self.folder / "dovecot"
        active = self._files("store", root)
        certificate = self.platform.kube.secret(self.platform.namespace, f"{self.platform.name}-imap")
        for name in ("tls.crt", "tls.key"):
            (active / name).write_bytes(certificate[name])
        with (active / "dovecot.conf").open("a") as file:
            file.write(_DOVECOT.format(active=ACTIVE, imaps=IMAPS))
        tables = json.loads((active / "manifest.json").read_text())["tables"]
        directory = root / TABLES
        directory.mkdir(parents=True, exist_ok=True)
        logins = {"name": "logins", "driver": "sqlite", "columns": ["user", "password"]}
        rows = dict(self._rows("store")) | {"logins": [row[:2] for row in self._rows("edge")["users"]]}
        _fill(directory / "directory.sqlite", [*tables, logins], rows)
        for name in ("public.acl", "visitors.acl"):
            (directory / name).touch()
        self.mail.mkdir(parents=True, exist_ok=True)
        Ledger(self.mail / ".postboat/usage.sqlite")
        subprocess.run(
            ["chown", "-R", f"{VMAIL}:{VMAIL}", self.mail, directory.parent, active.parent, root / "run/dovecot"],
            check=True,
        )
        self._start("dovecot", f"--userspec={VMAIL}:{VMAIL}", ["dovecot", "-F", "-c", f"/{ACTIVE}/dovecot.conf"])

    def _postfix(self) -> None:
        root = self.folder / "postfix"
        active = self._files("smtp", root)
        own = _POSTFIX.format(filter=self.platform.service_address(f"{self.platform.name}-filter"))
        (active / "main.cf").write_text(_replaced((active / "main.cf").read_text(), own))
        (active / "master.cf").write_text(_one_listener((active / "master.cf").read_text()))
        directory = root / TABLES
        directory.mkdir(parents=True, exist_ok=True)
        rows = dict(self._rows("smtp"))
        rows["transports"] = [[key, "store0:unix:/run/shared/lmtp"] for key, _ in rows["transports"]]
        for table in json.loads((active / "manifest.json").read_text())["tables"]:
            name = table["name"]
            (directory / name).write_text("".join(f"{key}\t{value}\n" for key, value in rows.get(name, [])))
        (root / "var/lib/postfix").mkdir(parents=True, exist_ok=True)
        subprocess.run(["chroot", root, "chown", "postfix:postfix", "/var/lib/postfix"], check=True)
        steps = (
            f"cd /{TABLES}",
            f"for table in *; do postmap -c /{ACTIVE} lmdb:$table; done",
            f"postfix -c /{ACTIVE} check",
            f"exec env MAIL_CONFIG=/{ACTIVE} /usr/lib/postfix/sbin/master -s",
        )
        self._start("postfix", "--userspec=0:0", ["sh", "-c", "; ".join(steps)])

    def _start(self, name: str, user: str, command: Sequence[str]) -> None:
        """Start a daemon in its root, with processes of its own that end with the first of them."""
        root = self.folder / name
        (root / "run/shared").mkdir(parents=True, exist_ok=True)
        script = (
            'mount --bind /dev "$1/dev" && mount -t proc proc "$1/proc" && mount --bind "$2" "$1/run/shared" && '
            'root=$1 user=$3 && shift 3 && exec chroot "$user" "$root" "$@"'
        )
        unshared = ["unshare", "--mount", "--pid", "--fork", "sh", "-c", script, "sh"]
        with (self.folder / f"{name}.log").open("wb") as log:
            argv = [*unshared, str(root), str(self.folder / "shared"), user, *command]
            self.running.append(subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL))


def _replaced(settings: str, own: str) -> str:
    """Put settings in the place of those of the same names.

    A name that is there twice is a warning of every process, and postlogd(8) may wait for itself to take its own.
    """
    names = tuple(f"{line.partition('=')[0].strip()} =" for line in own.splitlines() if line)
    return "".join(line for line in settings.splitlines(keepends=True) if not line.startswith(names)) + own


def _one_listener(master: str) -> str:
    """Leave one port of those in master.cf, with its options, and move it."""
    lines, listener = [], ""
    for line in master.splitlines():
        if not line.startswith(" "):
            listener = line.split()[0] if " inet " in line else ""
        if listener in ("", "10025"):
            lines.append(line.replace("10025 inet", f"127.0.0.1:{SMTP} inet"))
    return "\n".join(lines) + "\n"


def _fill(path: Path, tables: Iterable[Mapping[str, object]], rows: Rows) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for table in tables:
            columns = table["columns"]
            if table["driver"] == "sqlite" and isinstance(columns, list):
                names = ", ".join(f'"{column}"' for column in columns)
                connection.execute(f'CREATE TABLE "{table["name"]}" ({names}, PRIMARY KEY ("{columns[0]}"))')
                places = ", ".join("?" * len(columns))
                statement = f'INSERT INTO "{table["name"]}" VALUES ({places})'  # noqa: S608  names of our own tables
                connection.executemany(statement, rows.get(str(table["name"]), []))
        connection.commit()


def _answers(port: int) -> bool:
    with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), timeout=5)):
        return True
    return False
