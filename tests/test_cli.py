"""The command line as an operator types it: what it prints, and its exit codes."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, text

from webhook_app.cli import main

Command = Callable[..., Result]


@pytest.fixture
def command(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    values = {"DATABASE_URL": database_url, "META_APP_SECRET": "secret", "META_VERIFY_TOKEN": "token"}
    for name in ("RULES_FILE", "DATA_DIR", "PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: CliRunner().invoke(main, arguments)


def test_check_says_that_everything_is_in_order(command: Command) -> None:
    done = command("check")
    assert done.exit_code == 0, done.output
    assert [line.split()[:2] for line in done.output.splitlines()] == [
        ["settings", "ok"],
        ["rules", "ok,"],
        ["database", "ok"],
        ["migrations", "ok"],
    ]


def test_check_says_that_the_schema_is_behind(command: Command, engine: Engine) -> None:
    with engine.begin() as connection:
        newest = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    done = command("check")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :newest"), {"newest": newest})
    assert done.exit_code == 1
    assert "webhook-app migrate" in done.output


def test_check_names_line_and_key_of_a_bad_rule(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nname = "a"\nkind = "rate"\nthreshold = 2\n')
    monkeypatch.setenv("RULES_FILE", str(rules))
    done = command("check")
    assert done.exit_code == 1
    assert "rules.toml:4: threshold" in done.output


def test_check_says_that_the_database_is_away(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    done = command("check")
    assert done.exit_code == 1
    assert "database    cannot be reached" in done.output


def test_a_key_is_shown_once_listed_without_its_secret_and_revoked(command: Command) -> None:
    secret = command("api-key", "create", "the shop", "--role", "sender").output.strip()
    listed = command("api-key", "list").output
    assert "the shop" in listed
    assert secret not in listed
    number = listed.split()[0]
    assert command("api-key", "revoke", number).exit_code == 0
    assert "revoked" in command("api-key", "list").output
    assert command("api-key", "revoke", number).exit_code == 1


def test_missing_settings_are_named(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("META_VERIFY_TOKEN")
    done = command("check")
    assert done.exit_code == 1
    assert "META_VERIFY_TOKEN: is required" in done.output


def test_the_scenarios_are_listed_and_an_unknown_one_is_refused(command: Command) -> None:
    assert "outage" in command("simulate", "--list").output
    refused = command("simulate", "--scenario", "nonsense")
    assert refused.exit_code == 1
    assert "nonsense" in refused.output
