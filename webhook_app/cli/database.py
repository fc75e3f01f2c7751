"""The settings, the database and the rules of a command. Imports inside, as in main.py."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from webhook_app.rules.incidents.rules_file.rule import Rule
    from webhook_app.settings import Settings
    from webhook_app.store.postgres.engine import Connection


def report(line: str) -> None:
    """Show one line of progress."""
    click.echo(line, err=True)


@contextmanager
def settings_with_database() -> "Iterator[Settings]":
    """The settings of a command that uses the database.

    Without DATABASE_URL the database is the embedded one of DATA_DIR, started for the command unless it runs.
    """
    from webhook_app.data_folder import DataFolder  # noqa: PLC0415
    from webhook_app.settings import is_set, process_environment, read_settings  # noqa: PLC0415

    environment = process_environment()
    if is_set(environment, "DATABASE_URL"):
        yield read_settings(environment)
        return
    folder = DataFolder(environment)
    with folder.open_database(report) as url:
        yield read_settings(environment | folder.made_secrets() | {"DATABASE_URL": url})


@contextmanager
def transaction() -> "Iterator[Connection]":
    """One transaction on the command's database."""
    from webhook_app.store.postgres.engine import make_engine  # noqa: PLC0415

    with settings_with_database() as settings:
        engine = make_engine(settings.database_url, application="webhook_app cli", pool_size=0)
        with engine.begin() as connection:
            yield connection


def database_message(fault: Exception) -> str:
    """The first line of the database's message, without numbers of people. Further lines hold values of rows."""
    from webhook_app.logs import mask_private  # noqa: PLC0415
    from webhook_app.store.postgres.errors import driver_fault  # noqa: PLC0415

    return mask_private(str(driver_fault(fault)).partition("\n")[0])


def read_rules(path: Path | None) -> "Sequence[Rule]":
    """The rules of the file, or the default ones."""
    from webhook_app.scheduler.jobs import load_rules  # noqa: PLC0415

    return load_rules(path)
