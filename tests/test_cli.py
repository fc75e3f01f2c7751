"""The command line as an operator types it: what it prints, and its exit codes."""

import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

from tests.support.factories import body, status
from tests.support.fake_graph import APP_ID, APP_SECRET, TOKEN, WABA, FakeGraph
from tests.support.folders import ROOT
from webhook_app.cli.first_reading import FirstReading
from webhook_app.cli.main import main
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.rules.accounts.doctor_check import Checked
from webhook_app.store.accounts import doctor
from webhook_app.store.operations import scheduler_state, sessions
from webhook_app.store.postgres.engine import connect
from webhook_app.whatsapp.receiving import statuses

Command = Callable[..., Result]


@pytest.fixture
def command(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    values = {
        "DATABASE_URL": database_url,
        "META_APP_SECRET": "the app secret of the test",
        "META_VERIFY_TOKEN": "the verify token of the test",
    }
    for name in ("RULES_FILE", "DATA_DIR", "PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: CliRunner().invoke(main, arguments)


def test_check_says_that_everything_is_in_order(command):
    done = command("check")
    assert done.exit_code == 0, done.output
    assert [line.split()[:2] for line in done.output.splitlines()] == [
        ["settings", "ok"],
        ["rules", "ok,"],
        ["channels", "ok:"],
        ["database", "ok"],
        ["sessions", "ok"],
        ["migrations", "ok"],
    ]


def test_check_says_that_the_schema_is_behind(command, engine):
    with engine.begin() as connection:
        newest = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    done = command("check")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :newest"), {"newest": newest})
    assert done.exit_code == 1
    assert "webhook-app migrate" in done.output


def test_check_names_line_and_key_of_a_bad_rule(command, tmp_path, monkeypatch):
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nname = "a"\nkind = "rate"\nthreshold = 2\n')
    monkeypatch.setenv("RULES_FILE", str(rules))
    done = command("check")
    assert done.exit_code == 1
    assert "rules.toml:4: threshold" in done.output


def test_check_names_each_rule_and_route_whose_channel_is_not_set_up(command, tmp_path, monkeypatch):
    rules = tmp_path / "rules.toml"
    rules.write_text(
        '[[rule]]\nname = "a"\nkind = "attention"\nchannels = ["email", "pagerduty"]\n'
        '[[route]]\nchannels = ["slack"]\n'
    )
    monkeypatch.setenv("RULES_FILE", str(rules))
    monkeypatch.setenv("PAGERDUTY_ROUTING_KEY", "0" * 32)
    done = command("check")
    assert done.exit_code == 1
    assert "channels    rule 'a': the channel email is not set up" in done.output
    assert "channels    route 1: the channel slack is not set up" in done.output
    assert "pagerduty is not" not in done.output


def test_check_says_that_the_database_is_away(command, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    done = command("check")
    assert done.exit_code == 1
    assert "database    cannot be used" in done.output


@pytest.fixture
def local(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command where nothing is set but a data folder and a free port."""
    for name in ("DATABASE_URL", "META_APP_SECRET", "META_VERIFY_TOKEN"):
        monkeypatch.delenv(name)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    for name, value in {"DATA_DIR": tmp_path / "data", "PORT": port, "BIND_HOST": "127.0.0.1"}.items():
        monkeypatch.setenv(name, str(value))
    return command


def test_check_covers_this_machine_when_nothing_is_set(local):
    done = local("check")
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in done.output.splitlines()] == [
        "settings", "rules", "channels", "data", "port", "database",
    ]  # fmt: skip
    assert "`webhook-app up` creates it" in done.output


def test_check_says_that_the_port_is_taken_and_how_to_name_another(local, monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        monkeypatch.setenv("PORT", str(port))
        done = local("check")
    assert done.exit_code == 1
    assert f"PORT: {port} on 127.0.0.1 cannot be used" in done.output
    assert f"PORT={port % 65535 + 1} make run" in done.output


def test_check_says_that_the_data_folder_cannot_be_used(local, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "file"))
    done = local("check")
    assert done.exit_code == 1
    assert "DATA_DIR:" in done.output
    assert "cannot be written to" in done.output


def test_up_reports_the_same_fault_before_it_starts_anything(local, tmp_path, monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PORT", str(other.getsockname()[1]))
        done = local("up")
    assert done.exit_code == 1
    assert "cannot be used" in done.output
    assert not (tmp_path / "data" / "postgres").exists()


def test_a_key_is_shown_once_listed_without_its_secret_and_revoked(command):
    secret = command("api-key", "create", "the shop", "--role", "sender").output.strip()
    listed = command("api-key", "list").output
    assert "the shop" in listed
    assert secret not in listed
    number = listed.split()[0]
    assert command("api-key", "revoke", number).exit_code == 0
    assert "revoked" in command("api-key", "list").output
    assert command("api-key", "revoke", number).exit_code == 1


def test_a_second_key_of_the_same_name_is_refused_in_one_line(command):
    assert command("api-key", "create", "the shop", "--role", "sender").exit_code == 0
    again = command("api-key", "create", "the shop", "--role", "admin")
    assert (again.exit_code, again.output.count("\n")) == (1, 1)
    assert "There is a key named the shop already" in again.output


def test_the_sessions_of_browsers_end_at_once(command, engine):
    now = datetime.now(UTC)

    def begin() -> bytes:
        with engine.begin() as connection:
            secret = sessions.secret(connection, now)
            sessions.add(connection, "token", 0, now, admin_api_key="an admin key")
            return secret

    secret = begin()
    assert command("sessions", "end").output == "1 session ended.\n"
    assert begin() == secret
    assert command("sessions", "rotate").output == "The secret was replaced. 1 session ended.\n"
    with engine.begin() as connection:
        assert sessions.count(connection, now) == 0
        assert sessions.secret(connection, now) != secret


def test_missing_settings_are_named(command, monkeypatch):
    monkeypatch.delenv("META_VERIFY_TOKEN")
    done = command("check")
    assert done.exit_code == 1
    assert "META_VERIFY_TOKEN: is required" in done.output


def test_the_scenarios_are_listed_and_an_unknown_one_is_refused(command):
    assert "outage" in command("simulate", "--list").output
    refused = command("simulate", "--scenario", "nonsense")
    assert refused.exit_code == 1
    assert "nonsense" in refused.output


def test_codes_explains_one_code_and_prints_the_whole_catalogue(command):
    assert command("codes", "190", "463").output.startswith("190/463  Expired\n")
    assert "Unknown code 987654" in command("codes", "987654").output
    assert command("codes").output.startswith("# Error codes\n")
    assert command("codes", "many").exit_code == 2


def test_a_replay_reports_its_results_and_whether_items_are_left(command, database_url, monkeypatch):
    now = datetime.now(UTC)
    writer = BatchWriter(lambda: connect(database_url, application="tests"), slot=0)
    writer.store([Delivery(body(status("wamid.Q", "queued", now)))], now)
    writer.close()
    left = command("replay")
    assert (left.exit_code, "1 still not understood" in left.output) == (1, True)
    monkeypatch.setattr(statuses, "_KNOWN", statuses._KNOWN | {"queued"})
    assert "0 items read again" in command("replay", "--reason", "nonsense").output
    done = command("replay", "--since", f"{now:%Y-%m-%d}")
    assert (done.exit_code, "1 applied" in done.output) == (0, True), done.output
    archived = command("replay", "--archive")
    assert (archived.exit_code, "1 known already" in archived.output) == (0, True), archived.output


def test_a_replay_refuses_a_time_it_cannot_read(command):
    assert command("replay", "--since", "yesterday").exit_code == 2
    assert command("replay", "--archive", "--reason", "x").exit_code == 2


def test_a_person_is_erased_after_being_asked(command, database_url):
    now = datetime.now(UTC)
    writer = BatchWriter(lambda: connect(database_url, application="tests"), slot=0)
    writer.store([Delivery(body(status("wamid.A", "sent", now)))], now)
    writer.close()
    assert command("erase", "+12025550117").exit_code == 1, "the question was not answered"
    assert command("erase", "--yes", "nobody").exit_code == 2
    done = command("erase", "--yes", "+12025550117")
    assert (done.exit_code, "1 status_events" in done.output) == (0, True), done.output
    assert "raw archive done" in done.output
    assert "2025550117" not in done.output


def test_pruning_says_what_it_removed(command, engine):
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO rejections VALUES (now() - interval '200 days', 'missing', 1)"))
    done = command("prune")
    assert (done.exit_code, "1 rows of rejections" in done.output) == (0, True), done.output
    assert "rows of" not in command("prune").output


def test_help_answers_without_loading_the_service():
    heavy = ("sqlalchemy", "psycopg", "pydantic", "httpx", "flask", "msgspec", "webhook_app.settings")
    script = f"""
import sys
from webhook_app.cli.main import main
try:
    main(["--help"])
except SystemExit:
    pass
print([name for name in {heavy!r} if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert "api-key" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


DATABASE_COMMANDS = [
    ["migrate"], ["check"], ["prune"], ["replay"], ["replay", "--archive"], ["backtest"], ["api-key", "list"],
    ["api-key", "create", "shop", "--role", "sender"], ["api-key", "revoke", "1"], ["erase", "--yes", "+12025550117"],
]  # fmt: skip


def fails_in_one_line(done: Result) -> str:
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == 1, done.output
    (line,) = [
        line
        for line in done.output.splitlines()
        if not line.startswith(("settings ", "rules ", "channels ", "database    ok", "Evaluating"))
    ]
    return line


@pytest.mark.parametrize("arguments", DATABASE_COMMANDS, ids=" ".join)
def test_a_command_without_any_database_says_what_to_do(local, arguments):
    done = local(*arguments)
    if arguments == ["check"]:
        return  # it says that `up` creates the database
    line = fails_in_one_line(done)
    assert "There is no database: DATABASE_URL is not set" in line
    assert "`webhook-app up`" in line


@pytest.mark.parametrize("arguments", DATABASE_COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://u:hush@127.0.0.1:1/none", "cannot be used: connection"),
        ("postgresql:/u:hush@127.0.0.1/none", None),
    ],
)
def test_a_command_whose_database_cannot_be_reached_ends_without_a_traceback(
    command, monkeypatch, arguments, url, message
):
    monkeypatch.setenv("DATABASE_URL", url)
    done = command(*arguments)
    assert "hush" not in done.output
    if message is None:
        assert done.exit_code == 1
        assert "DATABASE_URL: is not a URL like postgresql://" in done.output
        return
    assert message in fails_in_one_line(done)


@pytest.mark.parametrize("arguments", DATABASE_COMMANDS, ids=" ".join)
def test_a_command_without_the_right_to_do_it_ends_without_a_traceback(
    command, database_url, engine, monkeypatch, arguments
):
    role = "cli_test_without_rights"
    with engine.begin() as connection:
        connection.execute(text(f"DROP ROLE IF EXISTS {role}"))
        connection.execute(text(f"CREATE ROLE {role} LOGIN"))
    monkeypatch.setenv("DATABASE_URL", f"{database_url} user={role}")
    done = command(*arguments)
    with engine.begin() as connection:
        connection.execute(text(f"DROP ROLE {role}"))
    assert "permission denied" in fails_in_one_line(done)


def test_migrate_needs_no_setting_but_the_database_and_reads_it_from_a_file(
    command, database_url, tmp_path, monkeypatch
):
    for name in ("DATABASE_URL", "META_APP_SECRET", "META_VERIFY_TOKEN"):
        monkeypatch.delenv(name)
    (tmp_path / "url").write_text(f"{database_url}\n")
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))
    done = command("migrate")
    assert done.exit_code == 0, done.output


def test_migrate_leaves_a_schema_alone_that_is_newer_than_this_version(command, engine):
    with engine.begin() as connection:
        newest = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    done = command("migrate")
    with engine.begin() as connection:
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
        connection.execute(text("UPDATE alembic_version SET version_num = :newest"), {"newest": newest})
    assert (done.exit_code, found) == (0, "9999"), done.output


class TestDoctor:
    def test_without_a_token_it_says_what_it_could_tell(self, command):
        done = command("doctor")
        assert done.exit_code == 0
        assert "META_ACCESS_TOKEN is not set" in done.output

    def test_it_prints_faults_with_their_remedies_and_fails_if_one_is_broken(self, command, monkeypatch):
        with FakeGraph() as graph:
            for name, value in (
                ("META_ACCESS_TOKEN", TOKEN), ("META_APP_ID", APP_ID), ("GRAPH_API_URL", graph.url),
                ("META_APP_SECRET", APP_SECRET.decode()), ("PUBLIC_URL", "https://hooks.example"),
            ):  # fmt: skip
                monkeypatch.setenv(name, value)
            fine = command("doctor", "--all")
            graph.edges[f"{WABA}/subscribed_apps"] = []
            broken = command("doctor")
        assert (fine.exit_code, broken.exit_code) == (0, 1)
        assert "0 broken, 0 to watch, 0 unknown, 6 ok" in fine.output
        assert "broken   account 555000100000 Acme EU: The app is not subscribed" in broken.output
        assert "POST /555000100000/subscribed_apps" in broken.output
        assert TOKEN not in fine.output + broken.output

    def test_after_a_start_the_first_reading_is_summed_up_once(self, database_url, engine, now):
        shown = []
        for begins, lines in (
            (now - timedelta(hours=1), []),
            (now, ["Doctor: 0 broken, 1 to watch, 0 unknown, 1 ok", "  warning: The review waits."]),
        ):
            watched = FirstReading(database_url, now, shown.append)
            with engine.begin() as connection:
                scheduler_state.record_start(connection, "doctor", "here", begins)
            watched.look()
            assert shown == []
            account = Checked("account", WABA)
            with engine.begin() as connection:
                late = account.warning("review", "The review waits.", "Wait.")
                doctor.save(connection, [account.ok("account", "It is active."), late], begins)
                scheduler_state.record_end(connection, "doctor", "here", begins, 1.0, "")
            again = FirstReading(database_url, now, shown.append)
            again.look()
            again.look()
            assert [line.partition("  (")[0] for line in shown] == lines
            assert again.has_ended is bool(lines)
