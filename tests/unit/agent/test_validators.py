"""What each daemon's own tools are asked about a configuration, and which answers keep it from being activated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from postboat.agent.children import Outcome
from postboat.agent.daemons.dovecot import Dovecot
from postboat.agent.daemons.postfix import Postfix
from postboat.agent.daemons.rspamd import Rspamd
from postboat.agent.daemons.valkey import Valkey
from postboat.agent.errors import ActivationError, Failure
from postboat.agent.validation import Effort

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

EFFORT = Effort(seconds=7.0, niceness=3)
SERVICES = "postlog   unix-dgram n - n - 1 postlogd\nsmtp      inet  n - n - - smtpd\n"
COMMANDS = (
    "10025/inet/command = smtpd\n"
    "10026/inet/command = smtpd -v\n"
    "10027/inet/command = smtpd\n"
    "10099/inet/command = spawn\n"
)
PARAMETERS = (
    "10025/inet/syslog_name = postfix/smtpd\n"
    "10026/inet/smtpd_sasl_auth_enable = yes\n"
    "10026/inet/smtpd_tls_wrappermode = yes\n"
    "10027/inet/syslog_name = postfix/smtpd\n"
    "10099/inet/max_idle = 1s\n"
)
GOODBYE = "220 mail ESMTP\r\n221 2.0.0 Bye\r\n"


@dataclass
class Tools:
    """Runs nothing: answers each command by a word in it, and remembers how it was asked."""

    answers: dict[str, Outcome] = field(default_factory=dict)
    asked: list[tuple[Sequence[str], dict[str, Any]]] = field(default_factory=list)

    def run(self, command: Sequence[str], **how: Any) -> Outcome:  # noqa: ANN401 -- what each call says
        self.asked.append((command, how))
        return next((answer for word, answer in self.answers.items() if word in command), Outcome(0, ""))

    def started(self) -> list[list[str]]:
        """The options of each smtpd that was begun."""
        return [[*command[4:]] for command, _ in self.asked if command[0] == "env"]


def postfix(folder: Path, smtpd: Outcome | None = None, **other: Outcome) -> tuple[Postfix, Tools]:
    answers = {"-M": Outcome(0, SERVICES), "-F": Outcome(0, COMMANDS), "-P": Outcome(0, PARAMETERS)}
    answers |= {f"-{name}": outcome for name, outcome in other.items()}
    tools = Tools(answers | {"-S": smtpd or Outcome(0, GOODBYE)})
    return Postfix(folder, folder, tools), tools  # type: ignore[arg-type] - all that it asks of them


def test_a_postfix_whose_listeners_all_greet_has_no_complaint(tmp_path: Path) -> None:
    daemon, tools = postfix(tmp_path)
    assert daemon.complaint(tmp_path / "staged", EFFORT) == ""
    plain, *listeners = tools.started()
    assert plain == []
    assert [[word for word in options if word != "-o"] for options in listeners] == [
        [
            "smtpd_sasl_auth_enable=yes",
            "smtpd_tls_wrappermode=yes",
            "smtpd_tls_security_level=none",
            "smtpd_tls_wrappermode=no",
            "smtpd_upstream_proxy_protocol=",
        ],
        [
            "syslog_name=postfix/smtpd",
            "smtpd_tls_security_level=none",
            "smtpd_tls_wrappermode=no",
            "smtpd_upstream_proxy_protocol=",
        ],
    ]
    assert all(options[::2] == ["-o"] * (len(options) // 2) for options in listeners)
    for command, how in tools.asked:
        assert str(tmp_path / "staged") in " ".join(command), "the new configuration is asked about, not the active one"
        assert (how["seconds"], how["niceness"]) == (7.0, 3)
        assert how["given"] == (b"QUIT\r\n" if command[0] == "env" else b"")


@pytest.mark.parametrize(
    "services", [Outcome(1, "fatal: bad master.cf"), Outcome(1, SERVICES), Outcome(0, "smtp inet n - n - - smtpd\n")]
)
def test_a_master_without_a_log_or_with_a_fault_is_refused(tmp_path: Path, services: Outcome) -> None:
    daemon, tools = postfix(tmp_path, M=services)
    complaint = daemon.complaint(tmp_path, EFFORT)
    assert complaint.startswith("master.cf")
    assert services.output in complaint
    assert tools.started() == []


@pytest.mark.parametrize(
    "smtpd", [Outcome(1, "fatal: bad value"), Outcome(1, GOODBYE), Outcome(0, "421 later"), Outcome(0, "x221 no")]
)
def test_a_postfix_that_does_not_say_goodbye_is_refused(tmp_path: Path, smtpd: Outcome) -> None:
    daemon, tools = postfix(tmp_path, smtpd)
    complaint = daemon.complaint(tmp_path, EFFORT)
    assert smtpd.output in complaint
    assert f"ended with {smtpd.status}" in complaint
    assert tools.started() == [[]], "the first one that fails is enough"


@pytest.mark.parametrize("ended", [Outcome(-9, ""), Outcome(0, GOODBYE, late=True), Outcome(127, ""), Outcome(137, "")])
def test_a_tool_that_came_to_no_verdict_refuses_nothing(tmp_path: Path, ended: Outcome) -> None:
    for daemon in (postfix(tmp_path, ended)[0], postfix(tmp_path, M=ended)[0], _dovecot(tmp_path, ended)[0]):
        with pytest.raises(ActivationError) as raised:
            daemon.complaint(tmp_path, EFFORT)
        assert raised.value.failure is Failure.NOT_VALIDATED


def _dovecot(folder: Path, answer: Outcome) -> tuple[Dovecot, Tools]:
    tools = Tools({"-n": answer})
    return Dovecot(folder, folder, tools), tools  # type: ignore[arg-type] - all that it asks of them


def test_dovecot_is_asked_for_complaints_only_since_its_settings_hold_secrets(tmp_path: Path) -> None:
    daemon, tools = _dovecot(tmp_path, Outcome(89, "doveconf: Fatal: unknown setting"))
    assert daemon.complaint(tmp_path / "staged", EFFORT).endswith("ended with 89: doveconf: Fatal: unknown setting")
    ((command, how),) = tools.asked
    assert command == ("doveconf", "-n", "-c", str(tmp_path / "staged" / "dovecot.conf"))
    assert how["errors_only"] is True
    assert _dovecot(tmp_path, Outcome(0, "warning"))[0].complaint(tmp_path, EFFORT) == ""


@pytest.mark.parametrize("status", [80, 84])
def test_a_dovecot_that_lacks_memory_or_a_log_gives_no_verdict(tmp_path: Path, status: int) -> None:
    with pytest.raises(ActivationError):
        _dovecot(tmp_path, Outcome(status, "out of memory"))[0].complaint(tmp_path, EFFORT)


@pytest.mark.parametrize("status", [79, 85])
def test_other_ends_of_dovecot_are_verdicts(tmp_path: Path, status: int) -> None:
    assert f"ended with {status}" in _dovecot(tmp_path, Outcome(status, "no"))[0].complaint(tmp_path, EFFORT)


def test_rspamd_is_asked_about_the_new_folder_and_valkey_about_nothing(tmp_path: Path) -> None:
    tools = Tools({"configtest": Outcome(1, "syntax error")})
    rspamd = Rspamd(tmp_path, tmp_path, tools)  # type: ignore[arg-type] - all that it asks of them
    assert rspamd.complaint(tmp_path / "staged", EFFORT) == "rspamadm ended with 1: syntax error"
    ((command, _),) = tools.asked
    assert f"--var=LOCAL_CONFDIR={tmp_path / 'staged'}" in command
    assert str(tmp_path / "staged" / "rspamd.conf") in command
    valkey = Valkey(tmp_path, tmp_path, tools)  # type: ignore[arg-type] - all that it asks of them
    assert valkey.complaint(tmp_path, EFFORT) == ""
    assert len(tools.asked) == 1


def test_what_an_empty_queue_lacks_is_made_before_the_first_start(tmp_path: Path) -> None:
    daemon, tools = postfix(tmp_path)
    assert daemon.prepare(tmp_path / "staged", EFFORT) == ""
    assert [command for command, _ in tools.asked] == [("postfix", "-c", str(tmp_path / "staged"), "check")]
    tools.answers["check"] = Outcome(1, "no such user")
    assert daemon.prepare(tmp_path, EFFORT) == "postfix ended with 1: no such user"
