"""`webhook-app doctor`: reads Meta's Graph API and prints what is broken, what deserves attention, and the remedy."""

import sys
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from webhook_app.cli.database import settings_with_database

if TYPE_CHECKING:
    from collections.abc import Iterable

    from webhook_app.rules.accounts.doctor_check import DoctorCheck

_NOT_ASKED = (
    "META_ACCESS_TOKEN is not set, so Meta is not asked. With it, doctor checks the token and when it ends, the app's"
    " webhook and its address, and the state of each account and number. The token is only used to read."
)


@click.command()
@click.option("--all", "all_", is_flag=True, help="print the checks that are ok, too")
def doctor(all_: bool) -> None:
    """Ask Meta about token, app, accounts and numbers. Exit code 1 if something is broken."""
    from webhook_app.rules.accounts.doctor_check import worst  # noqa: PLC0415
    from webhook_app.scheduler.jobs import read_meta  # noqa: PLC0415
    from webhook_app.scheduler.leading import limit_logging  # noqa: PLC0415
    from webhook_app.store.postgres.engine import make_engine  # noqa: PLC0415

    with settings_with_database() as settings:
        if not settings.meta_access_token:
            click.echo(_NOT_ASKED)
            return
        limit_logging()
        engine = make_engine(settings.database_url, application="webhook_app doctor", pool_size=0)
        checks = read_meta(engine, settings, datetime.now(UTC))
    _print(checks if all_ else [check for check in checks if check.status != "ok"])
    click.echo(count_line(check.status for check in checks))
    sys.exit(1 if worst(check.status for check in checks) == "broken" else 0)


def count_line(statuses: "Iterable[str]") -> str:
    """How many checks have each status, the worst first."""
    counts = Counter(statuses)
    return f"{counts['broken']} broken, {counts['warning']} to watch, {counts['unknown']} unknown, {counts['ok']} ok"


def _print(checks: "Iterable[DoctorCheck]") -> None:
    for check in checks:
        of = " ".join(filter(None, (check.subject, check.subject_id, check.name)))
        code = f" [{check.code}]" if check.code >= 0 else ""
        click.echo(f"{check.status:8} {of}: {check.message}{code}")
        if check.fix:
            click.echo(f"{'':8} {check.fix}")
