"""Rendered files: what they must say whatever the server wants, and what each change asks of a daemon."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from gzip import decompress

import pytest

from postboat.agent import manifest
from postboat.api import Resource
from postboat.model import names
from postboat.model.resolve import resolve
from postboat.model.snapshot import SecretContent
from postboat.render.files import Effect, File, Files
from postboat.render.shards import shard_files
from postboat.render.units import render
from tests.golden import world
from tests.golden.rows import table_rows
from tests.property.readers import postfix_main


def rendered(*more: Resource, inventory_complete: bool = True, **spec: object) -> Files:
    secrets = {content.name: content for content in (world.internal("mail", "mail"), world.self_signed("mail", "mail"))}
    secrets["example.org-dkim"] = world.dkim("mail", "example.org")
    resources = [
        world.resource("MailDomain", "example.org", {"dkim": {"enabled": True}}),
        world.resource("Mailbox", "alice", {}),
        *more,
    ]
    snapshot = replace(world.of(world.server(**spec), resources, secrets), inventory_complete=inventory_complete)
    platform = resolve(snapshot).platform
    assert platform is not None
    return render(platform)


def rows(files: Files, table: str) -> set[tuple[str, ...]]:
    return {row for _, name, row in table_rows(files.shards) if name == table}


def file(files: Files, unit: str, key: str) -> File:
    return next(file for file in files.units[unit] if file.key == key)


def services(master: str) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    current = ""
    for line in master.splitlines():
        if line.startswith("  -o "):
            found[current].append(line.strip().removeprefix("-o { ").removesuffix(" }"))
        elif line and not line.startswith("#"):
            current = line.split()[0]
            found[current] = []
    return found


def test_nobody_is_trusted_for_being_near() -> None:
    main = postfix_main(file(rendered(), "smtp", "main.cf").content.decode().replace("$myhostname", "HOST"))
    assert main["mynetworks"] == "", "not even loopback: a proxy beside Postfix would speak for everybody from there"
    assert main["smtpd_relay_restrictions"].startswith(
        "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination, "
    )
    trusting = rendered(smtp={"trustedNetworks": ["2001:db8::/32", "192.0.2.7"]})
    stated = postfix_main(file(trusting, "smtp", "main.cf").content.decode().replace("$myhostname", "HOST"))
    assert stated["mynetworks"] == "192.0.2.7 [2001:db8::]/32"
    assert main["smtpd_sasl_auth_enable"] == "no"
    assert main["smtpd_tls_auth_only"] == "yes"
    assert main["milter_default_action"] == "shutdown"
    assert main["non_smtpd_milters"] == ""
    assert main["disable_vrfy_command"] == "yes"


def test_each_port_has_its_rule() -> None:
    listeners = services(file(rendered(), "smtp", "master.cf").content.decode())
    assert listeners["10025"] == ["syslog_name = postfix/smtpd"]
    for port in ("10587", "10465"):
        (relay,) = (option for option in listeners[port] if option.startswith("smtpd_relay_restrictions"))
        assert relay.endswith("/submitters, check_sasl_access static:{421 4.7.0 Log in again}, reject")
        assert "smtpd_tls_security_level = encrypt" in listeners[port]
    assert "smtpd_tls_wrappermode = yes" in listeners["10465"]
    assert "smtpd_relay_restrictions = permit_tls_all_clientcerts, reject" in listeners["10026"]
    assert "smtpd_tls_req_ccert = yes" in listeners["10026"]


def test_strangers_are_sent_away_before_anybody_is_asked_about_a_mailbox() -> None:
    main = postfix_main(file(rendered(), "smtp", "main.cf").content.decode().replace("$myhostname", "HOST"))
    *insiders, closed = main["smtpd_relay_restrictions"].split(", ")
    assert insiders == ["permit_mynetworks", "permit_sasl_authenticated", "reject_unauth_destination"]
    assert closed.endswith("/internal")
    assert "permit" not in main["smtpd_recipient_restrictions"], "insiders are asked for room as well"
    assert main["smtpd_recipient_restrictions"].endswith(
        "/quotas, check_recipient_access lmdb:/var/lib/postboat/tables/forwards"
    )
    listeners = services(file(rendered(), "smtp", "master.cf").content.decode())
    assert not [option for port in ("10587", "10465", "10026") for option in listeners[port] if "internal" in option]


def test_submitters_are_users_with_a_password_who_may_send() -> None:
    secrets = {content.name: content for content in (world.internal("mail", "mail"), world.self_signed("mail", "mail"))}
    secrets["word"] = SecretContent("mail", "word", exists=True, data={"password": b"open sesame"})
    named = {"passwordSecret": {"name": "word", "key": "password"}}
    made = (
        world.resource("Mailbox", "sender", named),
        world.resource("Mailbox", "reader", named | {"access": {"smtp": False}}),
        world.resource("Mailbox", "silent", {}),
        world.resource("Mailbox", "shown", {"type": "Public", "owners": [{"name": "sender"}]}),
    )
    platform = resolve(world.of(world.server(), made, secrets)).platform
    assert platform is not None
    assert rows(render(platform), "submitters") == {("sender", "permit_sasl_authenticated")}


def test_an_internal_address_that_leads_to_nobody_is_unknown_to_everybody() -> None:
    to = (("office", "alice"), ("lost", "ghost"))
    made = [
        world.resource("MailAddress", name, {"destinations": [{"mailbox": mailbox}], "internal": True})
        for name, mailbox in to
    ]
    assert rows(rendered(*made), "internal") == {("office@example.org", "554 5.7.1 Access denied")}


def test_a_tag_is_led_on_to_nobody() -> None:
    main = postfix_main(file(rendered(), "smtp", "main.cf").content.decode().replace("$myhostname", "HOST"))
    assert main["recipient_delimiter"] == "+"
    assert main["propagate_unmatched_extensions"] == ""


def test_settings_of_the_server_are_in_the_files() -> None:
    files = rendered(
        smtp={"messageSizeLimit": "1Mi", "queueLifetime": "1h30m", "helo": "Out.example.org"},
        imap={"allowClearText": True, "maxConnectionsPerUserIP": 7, "protocols": ["POP3"]},
    )
    main = file(files, "smtp", "main.cf").content.decode()
    assert "message_size_limit = 1048576\n" in main
    assert "maximal_queue_lifetime = 5400s\n" in main
    assert "smtp_helo_name = out.example.org\n" in main
    edge = file(files, "imap", "dovecot.conf").content.decode()
    assert "auth_allow_cleartext = yes\n" in edge
    assert "pop3-login" in edge
    assert "imap-login" not in edge
    assert "mail_max_userip_connections = 7\n" in file(files, "store", "dovecot.conf").content.decode()


def test_amounts_stay_within_what_postfix_can_read() -> None:
    smtp = {"messageSizeLimit": "999999999999999P", "queueLifetime": "999999w999999w"}
    main = postfix_main(file(rendered(smtp=smtp), "smtp", "main.cf").content.decode().replace("$myhostname", "HOST"))
    assert int(main["message_size_limit"]) < 2**63
    assert int(main["maximal_queue_lifetime"].removesuffix("s")) < 2**31
    assert int(main["bounce_queue_lifetime"].removesuffix("s")) < 2**31


@pytest.mark.parametrize(
    ("told", "means"),
    [
        ("5.1.1 <a@b> no such user", "4.1.1 <a@b> no such user"),  # the store has not heard yet
        ("5.4.4 Host or domain name not found", "4.4.4 Host or domain name not found"),  # its pod is away
        ("5.4.6 mail loops back to myself", "4.4.6 mail loops back to myself"),
        ("5.2.2 mailbox is full", "5.2.2 mailbox is full"),
        (
            "5.4.4 Name service error for name=mail-store-0.mail-store.mail.svc.cluster.local type=A: Host not found",
            "4.4.4 Name service error for name=store 0 type=A: Host not found",
        ),
        (
            "4.4.1 connect to mail-store-1.mail-store.mail.svc.cluster.local[10.0.0.1]:10024: Connection refused",
            "4.4.1 connect to store 1: Connection refused",
        ),
        (
            "4.2.2 host mail-store-1.mail-store.mail.svc.cluster.local[10.0.0.1] said: 452 4.2.2 <a@b> full",
            "4.2.2 host store 1 said: 452 4.2.2 <a@b> full",
        ),
        ("5.7.1 refused by a script", "5.7.1 refused by a script"),
        ("2.0.0 saved 5.1.1 times", "2.0.0 saved 5.1.1 times"),
    ],
)
def test_what_a_store_does_not_know_yet_is_no_bounce(told: str, means: str) -> None:
    main = postfix_main(file(rendered(), "smtp", "main.cf").content.decode().replace("$myhostname", "HOST"))
    assert rewritten(main["lmtp_delivery_status_filter"], told) == means


def rewritten(table: str, text: str) -> str:
    """Apply a table of Postfix with patterns as it stands in main.cf: the first that fits gives the result."""
    for pattern, result in re.findall(r"\{ /(.*?)/ (.*?) \}", table):
        found = re.search(pattern, text)
        if found is not None:
            groups = {f"$({number})": group or "" for number, group in enumerate(found.groups(), 1)}
            parts = re.split(r"(\$\(\d\))", result.removeprefix("REPLACE "))
            return "".join(groups.get(part, part) for part in parts).lstrip()
    return text


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("<al@mailbox.invalid> (expanded from <b@c.de>): host", "<al@HOST> (expanded from <b@c.de>): host"),
        ("<al@mailbox.invalid>: connect to STORE: timed out", "<al@HOST>: connect to store 3: timed out"),
        ("<al@mailbox.invalid>: delivery via", "<al@HOST>: delivery via"),
        ("    STORE: 250 2.0.0 <al@c.de> x Saved", "store 3: 250 2.0.0 <al@c.de> x Saved"),
        ("Final-Recipient: rfc822; al@mailbox.invalid", "Final-Recipient: rfc822; al@HOST"),
        ("Remote-MTA: dns; mail-store-3.mail-store.mail.svc.cluster.local", "Remote-MTA: dns; HOST"),
        ("Remote-MTA: dns; mx.elsewhere.test", "Remote-MTA: dns; mx.elsewhere.test"),
        ("Mail to <al@mailbox-invalid.test> is fine.", "Mail to <al@mailbox-invalid.test> is fine."),
    ],
)
def test_notices_call_mailboxes_and_stores_by_names_for_everybody(line: str, shown: str) -> None:
    main = postfix_main(file(rendered(), "smtp", "main.cf").content.decode().replace("$myhostname", "HOST"))
    store = "mail-store-3.mail-store.mail.svc.cluster.local[fd00::1:2]:10024"
    assert rewritten(main["notices_body_checks"], line.replace("STORE", store)) == shown


def test_wrong_passwords_of_one_keep_no_other_from_sending() -> None:
    files = rendered()
    closed = "  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n"
    assert closed in file(files, "smtp-edge", "dovecot.conf").content.decode()
    assert closed not in file(files, "imap", "dovecot.conf").content.decode()


def test_clear_text_is_refused_by_default() -> None:
    edge = file(rendered(), "imap", "dovecot.conf").content.decode()
    assert "auth_allow_cleartext = no\n" in edge
    assert "\nssl = required\n" in edge


def test_a_mailbox_without_a_password_is_open_to_nobody_but_the_master_user() -> None:
    secrets = {content.name: content for content in (world.internal("mail", "mail"), world.self_signed("mail", "mail"))}
    secrets["master"] = SecretContent("mail", "master", exists=True, data={"word": b"open sesame"})
    server = world.server(masterUser={"passwordSecret": {"name": "master", "key": "word"}})
    platform = resolve(world.of(server, (), secrets)).platform
    assert platform is not None
    files = render(platform)
    by_master = "AND (password != '' OR '%{master_user}' = 'root') AND"
    assert file(files, "imap", "dovecot.conf").content.decode().count(by_master) == 3
    for closed in (file(rendered(), "imap", "dovecot.conf"), file(files, "smtp-edge", "dovecot.conf")):
        assert b"AND password != '' AND" in closed.content
        assert b"%{master_user}" not in closed.content


def test_a_login_name_may_have_a_domain_beyond_ascii_and_no_quote() -> None:
    edges = [file(rendered(), unit, "dovecot.conf").content.decode() for unit in ("imap", "smtp-edge")]
    for edge in edges:
        found = re.search(r"^auth_username_chars = (\S+)$", edge, re.MULTILINE)
        assert found is not None
        allowed = set(found[1].encode())
        assert set("alice@bücher.straße.ελ.пример.भारत.日本語.한국".encode()) <= allowed
        assert not allowed & set(b"'\"\\%$*{}()<>;, \t\r\n\0")
        assert {*range(0x80, 0xC0)} <= allowed


def test_agents_understand_every_manifest() -> None:
    for unit, files in rendered().units.items():
        content = next(file.content for file in files if file.key == "manifest.json")
        parsed = manifest.parse(content)
        assert {entry.key for entry in parsed.files} == {file.key for file in files} - {"manifest.json"}, unit
        assert content == (json.dumps(json.loads(content), sort_keys=True, separators=(",", ":")) + "\n").encode()


def test_stores_visit_each_other_only_when_there_are_several() -> None:
    names = {"away.acl", "visit.conf", "visitors"}
    assert not names & {file.key for file in rendered().units["store"]}
    assert "imapc" not in file(rendered(), "store", "dovecot.conf").content.decode()
    several = rendered(storage={"shards": 2})
    assert names <= {file.key for file in several.units["store"]}
    assert all(file(several, "store", key).secret for key in ("visit.conf", "visitors"))


def test_keys_are_secret_and_readable_by_their_daemon_only() -> None:
    for files in rendered().units.values():
        for entry in files:
            if b"PRIVATE KEY" in entry.content or b"xxxxxxxx" in entry.content:
                assert entry.secret
                assert entry.mode == "0600"


def test_certificates_count_after_a_reload_and_only_valkey_restarts() -> None:
    effects = {(unit, entry.key): entry.effect for unit, files in rendered().units.items() for entry in files}
    assert effects["smtp", "tls.pem"] is Effect.RELOAD
    assert effects["imap", "tls.crt"] is Effect.RELOAD
    assert effects["filter", "dkim-example.org.key"] is Effect.LIVE
    assert {unit for (unit, _), effect in effects.items() if effect is Effect.RESTART} == {"valkey"}


def test_shards_are_sorted_lines_and_say_nothing_of_the_time() -> None:
    for shard in rendered().shards.values():
        assert shard.content[4:8] == b"\0\0\0\0"
        lines = decompress(shard.content).decode().splitlines(keepends=True)
        assert lines == sorted(lines)
        assert all(line.endswith("\n") and "\t" in line for line in lines)


def test_every_file_ends_with_a_line_break() -> None:
    for files in rendered().units.values():
        for entry in files:
            assert not entry.content or entry.content.endswith(b"\n"), entry.path


def test_no_side_channel_within_tls_to_a_store() -> None:
    edge = file(rendered(), "imap", "dovecot.conf").content.decode()
    assert edge.count("starttls = y\n") == edge.count("proxy_no_multiplex = y\n") == 3


def test_a_login_process_serves_many_sessions() -> None:
    files = rendered()
    for unit in ("imap", "store"):
        conf = file(files, unit, "dovecot.conf").content.decode()
        assert conf.count("-login {\n") == conf.count("restart_request_count = unlimited\n") == 3
        assert conf.count("client_limit = 1000\n") == 3


def test_a_long_list_is_written_once_for_all_domains() -> None:
    people = [f"user{number}" for number in range(2000)]
    domains = [f"d{number}.example" for number in range(50)]
    everyone = world.resource("Mailbox", "everyone", {"type": "Group", "members": people, "address": "Enabled"})
    resources = [
        everyone,
        *(world.resource("Mailbox", name, {}) for name in people),
        *(world.resource("MailDomain", name, {"dkim": {"enabled": False}}) for name in domains),
    ]
    own = {content.name: content for content in (world.internal("mail", "mail"), world.self_signed("mail", "mail"))}
    platform = resolve(world.of(world.server(), resources, own)).platform
    assert platform is not None
    number = names.shard("everyone")
    shards = {**shard_files(platform, number), **shard_files(platform, names.shard(""))}
    rows = [row for _, table, row in table_rows(shards) if table == "aliases" and row[0].startswith("everyone@")]
    assert len([row for row in rows if row[1] == "everyone@list.invalid"]) == len(domains)
    (whole,) = (row[1] for row in rows if row[0] == "everyone@list.invalid")
    assert sorted(whole.split(",")) == sorted(f"{name}@mailbox.invalid" for name in people)


def test_each_store_has_deliverers_of_its_own_and_processes_for_all_of_them() -> None:
    files = rendered(storage={"shards": 4}, smtp={"replicas": 3})
    master = file(files, "smtp", "master.cf").content.decode()
    main = postfix_main(file(files, "smtp", "main.cf").content.decode().replace("$myhostname", "HOST"))
    limits = {line.split()[0]: int(line.split()[6]) for line in master.splitlines() if line.endswith(" lmtp flags=O")}
    assert limits.keys() == {"store0", "store1", "store2", "store3"}
    assert all(main[f"{name}_destination_recipient_limit"] == "1" for name in limits)
    service = re.search(
        r"^service lmtp \{\n(.*?)^\}", file(files, "store", "dovecot.conf").content.decode(), re.MULTILINE | re.DOTALL
    )
    assert service is not None
    (enough,) = re.findall(r"process_limit = (\d+)", service[1])
    assert int(enough) > 2 * 3 * limits["store0"], "also when those that were given up still occupy theirs"
    ((_, way),) = rows(files, "transports")
    name, _, hop = way.partition(":")
    assert re.fullmatch(rf"inet:\[mail-store-{name[-1]}\.mail-store\.mail\.svc\.cluster\.local\]:10024", hop)
    assert name in limits


def test_mail_waits_for_a_mailbox_that_no_store_has_yet() -> None:
    main = postfix_main(file(rendered(), "smtp", "main.cf").content.decode().replace("$myhostname", "HOST"))
    assert main["virtual_transport"] == "store0:unix:no-row-in-transports", (
        "smtpd itself would answer for retry: or error:"
    )
    placed, without = rendered(storage={"shards": 2}), rendered(storage={"shards": 2}, inventory_complete=False)
    for files in (placed, without):
        assert {key for key, _ in rows(files, "transports")} == {key for key, _ in rows(files, "mailboxes")}
    assert {way for _, way in rows(without, "transports")} == {"retry:4.3.0 The mailbox is not in place yet"}


def test_deliveries_need_tls_and_a_certificate_at_both_ends() -> None:
    files = rendered()
    store, main = file(files, "store", "dovecot.conf").content.decode(), file(files, "smtp", "main.cf").content.decode()
    service = re.search(r"^service lmtp \{\n(.*?)^\}", store, re.MULTILINE | re.DOTALL)
    assert service is not None
    assert re.search(r"port = 10024\n +ssl = yes\n", service[1]), "no word is taken in clear"
    assert "OPENSSL_CONF=/run/postboat/active/lmtp.cnf " in service[1]
    assert b"VerifyMode = Require\n" in file(files, "store", "lmtp.cnf").content
    assert 'local_name "mail.example.org" {\n  ssl_server_request_client_cert = yes\n' in store
    for line in (
        "lmtp_tls_wrappermode = yes",
        "lmtp_tls_security_level = secure",
        "lmtp_tls_servername = mail.example.org",
        "lmtp_tls_chain_files = /run/postboat/active/client.pem",
        "lmtp_tls_CAfile = /run/postboat/active/ca.pem",
    ):
        assert f"\n{line}\n" in main


def test_the_edge_beside_postfix_knows_passwords_and_no_way_to_a_store() -> None:
    files = rendered()
    edge = file(files, "smtp-edge", "dovecot.conf").content.decode()
    assert "proxy" not in edge
    assert "lmtp" not in edge
    assert {entry.key for entry in files.units["smtp-edge"]} == {"dovecot.conf", "manifest.json"}


def test_postfix_knows_which_recipients_of_ours_lead_to_another_server() -> None:
    inside = [world.resource("MailAddress", "inside", {"destinations": [{"mailbox": "alice"}]})]
    files = rendered(
        *inside,
        world.resource("Mailbox", "gone", {"forward": {"to": ["gone@elsewhere.test"], "keepCopy": True}}),
        world.resource("Mailbox", "both", {"type": "Group", "members": ["alice", "gone"], "address": "Enabled"}),
        world.resource("MailAddress", "led-on", {"destinations": [{"address": "x@elsewhere.test"}]}),
        world.resource("MailDomain", "copied.test", {"copyTo": ["x@elsewhere.test"]}),
        world.resource("MailDomain", "kept.test", {"copyTo": ["alice@example.org"]}),
        world.resource("MailDomain", "relayed.test", {"delivery": "Relay", "relay": {"host": "mx.relayed.test"}}),
        world.resource("MailDomain", "caught.test", {"unknownRecipients": {"action": "Deliver", "mailbox": "gone"}}),
    )
    found = rows(files, "leaving")
    assert {value for _, value in found} == {"PREPEND X-Postboat-Leaves: yes"}
    leaving = {key for key, _ in found}
    ours = ("example.org", "copied.test", "kept.test", "caught.test")
    assert leaving == {
        *(f"{local}@{domain}" for local in ("gone", "both", "led-on") for domain in ours),
        "copied.test",
        "relayed.test",
        "caught.test",
    }


def test_what_leads_to_other_servers_is_told_from_what_stays_here() -> None:
    away = {"to": ["x@elsewhere.test"]}
    files = rendered(
        world.resource("Mailbox", "gone", {"forward": away}),
        world.resource("Mailbox", "both", {"forward": away | {"keepCopy": True}}),
        world.resource("Mailbox", "near", {"forward": {"to": ["alice@example.org"]}}),
        world.resource("Mailbox", "sister", {"forward": {"to": ["x@relayed.test"]}}),
        world.resource("Mailbox", "team", {"type": "Group", "address": "Enabled", "members": ["alice", "gone"]}),
        world.resource("MailAddress", "info", {"destinations": [{"mailbox": "team"}, {"mailbox": "alice"}]}),
        world.resource("MailDomain", "copied.test", {"copyTo": ["x@elsewhere.test"]}),
        world.resource("MailDomain", "relayed.test", {"delivery": "Relay", "relay": {"host": "mx.relayed.test"}}),
        world.resource("MailDomain", "caught.test", {"unknownRecipients": {"action": "Deliver", "mailbox": "gone"}}),
    )
    found = dict(rows(files, "forwards"))
    ours = ("example.org", "copied.test", "caught.test")
    assert {key for key, value in found.items() if value == "PREPEND X-Postboat-Led-On: yes"} == {
        *(f"{local}@{domain}" for local in ("gone", "both", "team", "info") for domain in ours),
        "caught.test",
    }
    assert {key for key, value in found.items() if value == "DUNNO"} == {
        *(f"{local}@caught.test" for local in ("alice", "near", "sister")),
    }, "who has an address beside a catch-all gets marked mail"


def test_submission_marks_what_leaves_and_port_25_marks_nothing() -> None:
    files = rendered()
    listeners = services(file(files, "smtp", "master.cf").content.decode())
    for port in ("10587", "10465"):
        (recipients,) = (option for option in listeners[port] if option.startswith("smtpd_recipient_restrictions"))
        assert recipients.endswith(
            "/leaving, permit_auth_destination, check_recipient_access static:{PREPEND X-Postboat-Leaves: yes}"
        )
    main = postfix_main(file(files, "smtp", "main.cf").content.decode().replace("$myhostname", "HOST"))
    assert "leaving" not in main["smtpd_recipient_restrictions"]
    for port in ("10587", "10465"):
        assert "cleanup_service_name = submitcleanup" in listeners[port]
    assert "force_mime_input_conversion = yes" in listeners["submitcleanup"], "8 bits are converted before the filter"
    assert not listeners["cleanup"], "and mail from outside is not"
    assert main["lmtp_line_length_limit"] == "0", "local delivery keeps every octet"
    assert int(main["hopcount_limit"]) >= 100, "RFC 5321, 6.3"
    rules = file(files, "filter", "rules.lua").content
    assert b"local LEAVES = 'X-Postboat-Leaves'" in rules, "the filter takes away what Postfix adds"
    assert b"task:set_flag('message_rewrite', false)" in rules, "a body in a reply may hang the connection to Postfix"
    assert file(files, "filter", "rules.lua").path == "rspamd.local.lua"


def test_one_client_leaves_most_sessions_to_others_and_the_pod_its_memory() -> None:
    files = rendered()
    main = postfix_main(file(files, "smtp", "main.cf").content.decode().replace("$myhostname", "HOST"))
    limit = int(main["smtpd_client_connection_count_limit"])
    assert main["smtpd_client_ipv6_prefix_length"] == "64", "one client has many addresses of IPv6"
    master = file(files, "smtp", "master.cf").content.decode()
    most = {line.split()[0]: int(line.split()[6]) for line in master.splitlines() if line.endswith(" smtpd")}
    assert set(most) == {"10025", "10587", "10465", "10026"}
    for port in ("10025", "10587", "10465"):
        assert most[port] >= 5 * limit
    assert sum(most.values()) <= 700, "a session takes 2 to 3 MB"


def test_what_waits_is_first_tried_again_within_half_a_minute() -> None:
    files = rendered()
    main = postfix_main(file(files, "smtp", "main.cf").content.decode().replace("$myhostname", "HOST"))
    delay, backoff = (int(main[name].removesuffix("s")) for name in ("queue_run_delay", "minimal_backoff_time"))
    assert delay + backoff <= 30
    assert backoff >= delay, "postconf(5)"
    master = file(files, "smtp", "master.cf").content.decode()
    (manager,) = (line.split() for line in master.splitlines() if line.endswith(" qmgr"))
    assert int(manager[5]) == delay, "the manager looks when it is woken"


def test_a_store_hears_of_a_mailbox_by_an_address_that_leads_there() -> None:
    files = rendered(
        world.resource("MailDomain", "a.example", {}),
        world.resource("MailDomain", "relayed.test", {"delivery": "Relay", "relay": {"host": "mx.relayed.test"}}),
        world.resource("Mailbox", "keeps", {"forward": {"to": ["x@rel.test"], "keepCopy": True}}),
        world.resource("Mailbox", "shown", {"type": "Public", "owners": [{"name": "alice"}]}),
        world.resource("Mailbox", "mute", {"address": "Disabled"}),
        world.resource("Mailbox", "here", {"address": "Disabled"}),
        world.resource("MailAddress", "way", {"destinations": [{"mailbox": "mute"}]}),
        world.resource(
            "MailAddress",
            "only-here",
            {"localPart": "here", "domain": "example.org", "destinations": [{"mailbox": "here"}]},
        ),
        world.resource(
            "MailAddress",
            "taken",
            {"localPart": "alice", "domain": "a.example", "destinations": [{"mailbox": "shown"}]},
        ),
    )
    assert dict(rows(files, "mailboxes")) == {
        "alice@mailbox.invalid": "alice@example.org",
        "keeps@mailbox.invalid": "keeps@a.example",
        "shown@mailbox.invalid": "shown@a.example",
        "mute@mailbox.invalid": "mute@mail.example.org",
        "here@mailbox.invalid": "here@example.org",
    }
