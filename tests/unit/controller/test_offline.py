"""A folder of YAML read without a cluster: nobody has looked for typos there before."""

from pathlib import Path

import pytest
import yaml

from postboat.api import GROUP, VERSION
from postboat.controller.reconcile.offline import render_folder
from postboat.settings import from_environment


def test_an_unknown_field_is_refused_with_its_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    specs = {
        ("MailServer", "mail"): {"hostname": "mail.example.org"},
        ("Mailbox", "anna"): {},
        ("Mailbox", "bert"): {"acess": {"imap": False}},
        ("MailAddress", "info"): {"destinations": [{"mailbox": "anna"}, {"mailbox": "anna", "when": "later"}]},
    }
    documents = [
        {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": {"name": name}, "spec": spec}
        for (kind, name), spec in specs.items()
    ]
    (tmp_path / "in.yaml").write_text(yaml.safe_dump_all(documents))
    assert render_folder(tmp_path / "in.yaml", tmp_path / "out", from_environment({})) == 0
    said = capsys.readouterr().err
    assert "Mailbox bert: Invalid (spec.acess): there is no such field: did you mean access?" in said
    assert "MailAddress info: Invalid (spec.destinations[1].when): there is no such field" in said
    assert "anna:" not in said
