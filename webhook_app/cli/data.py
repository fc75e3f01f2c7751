"""Commands of `webhook-app` for whoever keeps the stored data: replay, prune, erase. No rules, no SQL.

Imports stand inside the commands where they are slow, as in cli.py.
"""

import sys
from datetime import UTC, datetime, timedelta
from functools import partial

import click

from webhook_app.settings import Settings, SettingsError, read_settings
from webhook_app.store.postgres.errors import DriverError, EngineError

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def _time(text: str | datetime) -> datetime:
    """A day or moment; UTC unless it says otherwise."""
    try:
        found = text if isinstance(text, datetime) else datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no time like 2026-11-21 or 2026-11-21T10:30") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@click.command()
@click.option(
    "--quarantine/--archive", "of_quarantine", default=True, show_default=True, help="what to read again"
)
@click.option(
    "--since",
    type=_time,
    metavar="TIME",
    default=_LONG_AGO,
    help="received from then on (UTC)  [default: ever]",
)
@click.option("--until", type=_time, metavar="TIME", default=None, help="received before  [default: now]")
@click.option("--reason", default="", help="quarantine: only items with this in their reason")
def replay(of_quarantine: bool, since: datetime, until: datetime | None, reason: str) -> None:
    """Read old webhooks again, after a fix: what waits in quarantine, or the raw archive.

    Nothing is counted twice, and nothing counts as received again: run it as often as you like, while webhooks
    come in. Exit code 1 if something is still not understood.
    """

    from webhook_app.pipeline.receiving.replay import Replay, ReplayBusyError  # noqa: PLC0415
    from webhook_app.store.postgres.engine import connect  # noqa: PLC0415
    from webhook_app.store.receiving.quarantine import QuarantineFilters  # noqa: PLC0415
    from webhook_app.whatsapp.receiving.payload import parse  # noqa: PLC0415

    settings, now = settings_or_exit(), datetime.now(UTC)
    url, until = settings.database_url, until or now
    if reason and not of_quarantine:
        raise click.UsageError("--reason chooses from the quarantine")
    read = partial(parse, words=settings.keywords)
    try:
        with Replay(lambda: connect(url, application="webhook_app replay"), now, read=read) as running:
            if of_quarantine:
                chosen = QuarantineFilters(since=since, until=until, reason=reason)
                with _progress(running.count_quarantine(chosen), "items") as bar:
                    outcome = running.of_quarantine(chosen, advance=bar.update)
            else:
                kept_from = now - timedelta(days=settings.events_keep_days)
                with _progress(running.count_archive(since, until), "commits") as bar:
                    outcome = running.of_archive(since, until, not_before=kept_from, advance=bar.update)
    except ReplayBusyError as busy:
        sys.exit(str(busy))
    except (DriverError, EngineError) as fault:
        sys.exit(
            f"The database did not go along, nothing is half done: {type(fault).__name__}. Run it again."
        )
    click.echo(
        f"{outcome.looked_at} items read again: {outcome.applied} applied, {outcome.duplicate} known already,"
        f" {outcome.ignored} not needed, {outcome.left} still not understood"
    )
    sys.exit(1 if outcome.left else 0)


@click.command()
def prune() -> None:
    """Remove what is past its time, and make the coming partitions; the scheduler does the same every hour."""
    from webhook_app.pipeline.operations import prune as pruning  # noqa: PLC0415
    from webhook_app.scheduler import retention_of  # noqa: PLC0415
    from webhook_app.store.postgres.engine import make_engine  # noqa: PLC0415

    settings = settings_or_exit()
    engine = make_engine(settings.database_url, application="webhook_app prune", pool_size=0)
    done = pruning.prune(engine, datetime.now(UTC), retention_of(settings), batches=sys.maxsize)
    for table, rows in sorted(done.deleted.items()):
        click.echo(f"{rows:8} rows of {table}")
    click.echo(f"{len(done.dropped)} partitions dropped, {len(done.made)} made")
    if not done.finished:
        sys.exit("Something was in use and is left to the next run.")


@click.command()
@click.argument("contact")
@click.confirmation_option(prompt="Erase this person everywhere? It cannot be undone.")
def erase(contact: str) -> None:
    """Erase a person everywhere, by phone number or user id. Counts and rates stay as they are."""
    from webhook_app.pipeline.people import erase as erasing  # noqa: PLC0415
    from webhook_app.store.postgres.engine import connect, make_engine  # noqa: PLC0415
    from webhook_app.whatsapp.people.contacts import InvalidAddress, parse_address  # noqa: PLC0415

    address = parse_address(contact)
    if isinstance(address, InvalidAddress):
        raise click.BadParameter(address.reason)
    url, now = settings_or_exit().database_url, datetime.now(UTC)
    engine = make_engine(url, application="webhook_app erase", pool_size=0)
    done = erasing.erase(
        engine,
        lambda: connect(url, application="webhook_app erase"),
        address.key,
        actor="command line",
        now=now,
        at_once=sys.maxsize,
    )
    for table, rows in done.rows.items():
        if rows:
            click.echo(f"{rows:8} {table}")
    click.echo("raw archive done" if done.archive_done else "raw archive: the scheduler goes on with it")
    if done.opted_out:
        click.echo("This person did not want to be written to: checks go on refusing.")


def _progress(length: int, what: str) -> "click._termui_impl.ProgressBar[int]":
    return click.progressbar(length=length, label=f"Replaying {length} {what}", file=sys.stderr)


def settings_or_exit() -> Settings:
    """The settings; without usable ones the command ends and says why."""
    try:
        settings = read_settings()
    except SettingsError as fault:
        sys.exit(str(fault))
    return settings
