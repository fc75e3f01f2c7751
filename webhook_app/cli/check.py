"""`webhook-app check`: checks settings, rules, channels, database and, without DATABASE_URL, this machine."""

import sys
from typing import TYPE_CHECKING

import click

from webhook_app.cli.database import database_message, read_rules, report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webhook_app.data_folder import DataFolder
    from webhook_app.rules.incidents.rules_file.rule import Rule
    from webhook_app.settings import Settings


@click.command()
def check() -> None:
    """Check settings, rules, channels, database and migrations. Exit code 1 if a check fails."""
    from webhook_app.data_folder import SECRETS, DataFolder  # noqa: PLC0415
    from webhook_app.settings import is_set, process_environment, read_settings  # noqa: PLC0415

    environment = process_environment()
    is_local = not is_set(environment, "DATABASE_URL")
    folder = DataFolder(environment)
    if is_local:
        unmade = {name: f"{name} made by up" for name in SECRETS if not is_set(environment, name)}
        environment |= unmade | folder.made_secrets() | {"DATABASE_URL": "postgresql://"}
    settings = read_settings(environment)
    click.echo("settings    ok")
    rules = read_rules(settings.rules_file)
    click.echo(f"rules       ok, {len(rules)} from {settings.rules_file or 'the default file'}")
    _check_channels(settings, rules)
    if not is_local:
        _check_database(settings.database_url)
        return
    _check_machine(settings, folder)
    if not folder.has_database:
        click.echo("database    embedded: `webhook-app up` creates it")
        return
    with folder.open_database(report) as url:
        _check_database(url)


def _check_channels(settings: "Settings", rules: "Sequence[Rule]") -> None:
    from webhook_app.rules.incidents.announcements import missing_channels  # noqa: PLC0415
    from webhook_app.scheduler.jobs import make_channels  # noqa: PLC0415

    channels = tuple(make_channels(settings))
    if faults := missing_channels(rules, channels):
        sys.exit("\n".join(f"channels    {fault}" for fault in faults))
    click.echo(f"channels    ok: {', '.join(channels)}")


def _check_database(url: str) -> None:
    from webhook_app.store.operations.readiness import migrations_fault  # noqa: PLC0415
    from webhook_app.store.postgres.engine import driver, make_engine  # noqa: PLC0415
    from webhook_app.store.postgres.errors import EngineError  # noqa: PLC0415
    from webhook_app.store.postgres.sessions import sessions_fault  # noqa: PLC0415

    engine = make_engine(url, application="webhook_app check", pool_size=0)
    try:
        with engine.connect() as connection, engine.connect() as other:
            click.echo("database    ok")
            shared = sessions_fault(driver(connection), driver(other))
            behind = migrations_fault(connection)
    except EngineError as fault:
        sys.exit(f"database    cannot be used: {database_message(fault)}")
    if shared:
        sys.exit(f"sessions    {shared}")
    click.echo("sessions    ok")
    if behind:
        sys.exit(f"migrations  {behind}: run `webhook-app migrate`")
    click.echo("migrations  ok")


def _check_machine(settings: "Settings", folder: "DataFolder") -> None:
    """The data folder, and the port: free, or answered by the service itself."""
    import httpx  # noqa: PLC0415

    from webhook_app.up import local_url, port_fault  # noqa: PLC0415

    if fault := folder.fault():
        sys.exit(f"data        {fault}")
    click.echo(f"data        ok, in {folder.path}/")
    try:
        answer = httpx.get(f"{local_url(settings)}/readyz", timeout=5, trust_env=False)
    except httpx.TransportError:
        if fault := port_fault(settings):
            sys.exit(f"port        {fault}")
        click.echo(f"port        ok, {settings.port} is free")
        return
    if not answer.is_success:
        sys.exit(
            f"service     on port {settings.port} is not ready, or is another program: {answer.text[:200]}"
        )
    click.echo(f"service     ok, runs on port {settings.port}")
