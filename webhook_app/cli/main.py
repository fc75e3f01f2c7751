"""`webhook-app`: starts the parts and runs the tools. Reads settings, prints; rules and SQL live below.

Imports stand inside the commands where they are slow: `webhook-app --help` should answer at once.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from webhook_app.cli import data, trials
from webhook_app.cli.data import settings_or_exit
from webhook_app.rules.incidents.alerts import Rule
from webhook_app.rules.incidents.rules_file import RulesFileError
from webhook_app.settings import Settings, SettingsError
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.postgres.errors import EngineError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="webhook-app")
def main() -> None:
    """Receives WhatsApp webhooks, alerts on failures, keeps the list of contacts not to write to."""


@main.command()
def up() -> None:
    """Run everything here: Postgres (embedded unless DATABASE_URL is set), web and scheduler."""
    from webhook_app.up import StopRequestedError, everything  # noqa: PLC0415

    try:
        with everything(os.environ) as running:
            _greet(running.settings, running.url)
            sys.exit(running.wait())
    except StopRequestedError:
        click.echo("Stopped.")
    except (SettingsError, RuntimeError) as fault:
        sys.exit(str(fault))


@main.command()
def migrate() -> None:
    """Bring the database's schema up to date and create the coming partitions."""
    from webhook_app.migrating import migrate_database  # noqa: PLC0415

    url = os.environ.get("DATABASE_URL", "")
    if not url:
        sys.exit("DATABASE_URL: is required")
    migrate_database(url)


@main.command()
def scheduler() -> None:
    """Run the jobs: evaluate, notify, suppress, prune. Start as many as you like; one leads."""
    from webhook_app import logs  # noqa: PLC0415
    from webhook_app.garbage import collect_garbage_rarely  # noqa: PLC0415
    from webhook_app.scheduler import load_rules, run  # noqa: PLC0415

    settings = settings_or_exit()
    logs.configure(settings.log_format)
    rules = _rules(load_rules, settings)
    collect_garbage_rarely()
    run(settings, rules)


@main.command()
@click.argument("code", type=int, required=False)
@click.argument("subcode", type=int, required=False)
def codes(code: int | None, subcode: int | None) -> None:
    """Explain one of Meta's error codes, or without one print the whole catalogue as Markdown."""
    from webhook_app.whatsapp.errors import catalogue, catalogue_page  # noqa: PLC0415

    if code is None:
        click.echo(catalogue_page.markdown_page(catalogue.catalogue(), catalogue.sources()), nl=False)
    else:
        click.echo(catalogue_page.entry_text(catalogue.explain(code, subcode)))


@main.command()
def check() -> None:
    """Say whether settings, rules, database and migrations are in order. Exit code 1 if one is not."""
    from webhook_app.scheduler import load_rules  # noqa: PLC0415
    from webhook_app.store.operations.readiness import migrations_fault  # noqa: PLC0415
    from webhook_app.store.postgres.engine import make_engine  # noqa: PLC0415

    local = not (os.environ.get("DATABASE_URL") or os.environ.get("DATABASE_URL_FILE"))
    settings = _local_settings() if local else settings_or_exit()
    click.echo("settings    ok")
    click.echo(
        f"rules       ok, {len(_rules(load_rules, settings))} from {settings.rules_file or 'the default file'}"
    )
    if local:
        _check_this_machine(settings)
        return
    engine = make_engine(settings.database_url, application="webhook_app check", pool_size=0)
    try:
        with engine.connect() as connection:
            click.echo("database    ok")
            behind = migrations_fault(connection)
    except OSError as fault:
        sys.exit(f"database    {fault}")
    except EngineError as fault:
        sys.exit(f"database    cannot be reached: {getattr(fault, 'orig', fault)}")
    if behind:
        sys.exit(f"migrations  {behind}: run `webhook-app migrate`")
    click.echo("migrations  ok")


def _local_settings() -> Settings:
    """As `up` would have them: with the secrets it made or would make, and the embedded database."""
    from webhook_app.settings import read_settings  # noqa: PLC0415
    from webhook_app.up import SECRETS, kept_secrets  # noqa: PLC0415

    given = dict(os.environ)
    missing = {
        name: "made by up" for name in SECRETS if not given.get(name) and not given.get(f"{name}_FILE")
    }
    try:
        settings = read_settings({**given, **missing, **kept_secrets(given), "DATABASE_URL": "postgresql://"})
    except SettingsError as fault:
        sys.exit(str(fault))
    return settings


def _check_this_machine(settings: Settings) -> None:
    import httpx  # noqa: PLC0415

    from webhook_app.up import EMBEDDED, folder_fault, port_fault  # noqa: PLC0415

    if fault := folder_fault(settings.data_dir):
        sys.exit(f"data        {fault}")
    click.echo(f"data        ok, in {settings.data_dir}/")
    try:
        answer = httpx.get(f"http://127.0.0.1:{settings.port}/readyz", timeout=5, trust_env=False)
    except httpx.TransportError:
        if fault := port_fault(settings):
            sys.exit(f"port        {fault}")
        click.echo(f"port        ok, {settings.port} is free")
        begun = "has data" if (settings.data_dir / EMBEDDED).exists() else "will be made"
        click.echo(f"database    embedded: {begun}; `webhook-app up` starts it")
        return
    if not answer.is_success:
        sys.exit(f"service     on port {settings.port} is not ready, or is another one: {answer.text[:200]}")
    click.echo(f"service     ok, runs on port {settings.port}, database and migrations included")


main.add_command(data.replay)
main.add_command(data.prune)
main.add_command(data.erase)
main.add_command(trials.simulate)
main.add_command(trials.demo)
main.add_command(trials.backtest)


@main.group("api-key")
def api_key() -> None:
    """Make, list and revoke the keys with which programs call the API."""


@api_key.command("create")
@click.argument("name")
@click.option("--role", type=click.Choice(["sender", "viewer", "admin"]), required=True)
def create_key(name: str, role: str) -> None:
    """Make a key and show it, this once."""
    from webhook_app.store.operations import api_keys  # noqa: PLC0415

    with _database() as connection:
        made = api_keys.create(connection, name, role, datetime.now(UTC))
    click.echo(made.secret)


@api_key.command("list")
def list_keys() -> None:
    """Show every key, without its secret."""
    from webhook_app.store.operations import api_keys  # noqa: PLC0415

    with _database() as connection:
        for key in api_keys.list_keys(connection):
            state = (
                "revoked"
                if key.revoked_at
                else f"used {key.used_at:%Y-%m-%d %H:%M}"
                if key.used_at
                else "unused"
            )
            click.echo(f"{key.id:5}  {key.prefix}…  {key.role:7} {state:22} {key.name}")


@api_key.command("revoke")
@click.argument("key_id", type=int)
def revoke_key(key_id: int) -> None:
    """Make a key useless, within seconds everywhere."""
    from webhook_app.store.operations import api_keys  # noqa: PLC0415

    with _database() as connection:
        if not api_keys.revoke(connection, key_id, datetime.now(UTC)):
            sys.exit(f"there is no key {key_id} that could be revoked")


@contextmanager
def _database() -> Iterator[Connection]:
    """One transaction on the configured database."""
    from webhook_app.store.postgres.engine import make_engine  # noqa: PLC0415

    engine = make_engine(settings_or_exit().database_url, application="webhook_app cli", pool_size=0)
    with engine.begin() as connection:
        yield connection


def _rules(load: Callable[[Path | None], Sequence[Rule]], settings: Settings) -> Sequence[Rule]:
    try:
        return load(settings.rules_file)
    except (OSError, RulesFileError) as fault:
        sys.exit(str(fault))


def _greet(settings: Settings, url: str) -> None:
    public = settings.public_url.rstrip("/") or url
    click.echo(f"""
webhook_app is running. Ctrl-C stops it; the data stays in {settings.data_dir}/.

  Webhook URL     {public}/webhook
  Verify token    {settings.meta_verify_token}
  Dashboard       {public}/
  Admin API key   {settings.admin_api_key or "none: ADMIN_API_KEY is not set"}
  API docs        {public}/docs

Try it:  {_shown_command()} simulate --scenario outage   (in another terminal)
""")


def _shown_command() -> str:
    """This command as it can be typed here."""
    path = Path(sys.argv[0]).absolute()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else path.name


if __name__ == "__main__":
    main()
