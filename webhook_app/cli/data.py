"""Commands for the stored data: replay, prune, erase. No rules, no SQL."""

import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import click

from webhook_app.cli.database import settings_with_database

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def _time(text: str | datetime) -> datetime:
    """A date or time; UTC when it names no zone."""
    try:
        found = text if isinstance(text, datetime) else datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a time like 2026-11-21 or 2026-11-21T10:30") from None
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
    help="received at or after this time (UTC)  [default: all]",
)
@click.option(
    "--until", type=_time, metavar="TIME", default=None, help="received before this time  [default: now]"
)
@click.option("--reason", default="", help="quarantine: only items whose reason contains this text")
def replay(of_quarantine: bool, since: datetime, until: datetime | None, reason: str) -> None:
    """Process old webhooks again after an upgrade: the open quarantine, or the raw archive.

    Events are counted once, and nothing counts as received again: run it as often as you like, while webhooks arrive.
    Exit code 1 if an item is still not understood.
    """

    from webhook_app.pipeline.receiving.replay import Replay  # noqa: PLC0415
    from webhook_app.store.postgres.engine import connect  # noqa: PLC0415
    from webhook_app.store.receiving.quarantine import QuarantineFilters  # noqa: PLC0415
    from webhook_app.whatsapp.receiving.payload import parse_again  # noqa: PLC0415

    if reason and not of_quarantine:
        raise click.UsageError("--reason applies to the quarantine only")
    now = datetime.now(UTC)
    until = until or now
    with (
        settings_with_database() as settings,
        Replay(
            lambda: connect(settings.database_url, application="webhook_app replay"),
            now,
            read=partial(parse_again, words=settings.keywords),
        ) as running,
    ):
        if of_quarantine:
            chosen = QuarantineFilters(since=since, until=until, reason=reason)
            with _progress(running.count_quarantine(chosen), "items") as bar:
                outcome = running.of_quarantine(chosen, advance=bar.update)
        else:
            kept_from = now - timedelta(days=settings.events_keep_days)
            with _progress(running.count_archive(since, until), "commits") as bar:
                outcome = running.of_archive(since, until, not_before=kept_from, advance=bar.update)
    click.echo(
        f"{outcome.looked_at} items read again: {outcome.applied} applied, {outcome.duplicate} known already,"
        f" {outcome.ignored} not needed, {outcome.left} still not understood"
    )
    sys.exit(1 if outcome.left else 0)


@click.command()
def prune() -> None:
    """Remove expired data and create the coming partitions, as the scheduler does every hour."""
    from webhook_app.pipeline.operations import prune as pruning  # noqa: PLC0415
    from webhook_app.scheduler.jobs import retention_of  # noqa: PLC0415
    from webhook_app.store.postgres.engine import make_engine  # noqa: PLC0415

    with settings_with_database() as settings:
        engine = make_engine(settings.database_url, application="webhook_app prune", pool_size=0)
        done = pruning.prune(engine, datetime.now(UTC), retention_of(settings), batches=sys.maxsize)
    for table, rows in sorted(done.deleted.items()):
        click.echo(f"{rows:8} rows of {table}")
    click.echo(f"{len(done.dropped)} partitions dropped, {len(done.made)} made")
    if not done.finished:
        sys.exit("Some tables were in use; the next run continues.")


@click.command()
@click.argument("contact")
@click.confirmation_option(prompt="Erase this person everywhere? It cannot be undone.")
def erase(contact: str) -> None:
    """Erase a person everywhere, by phone number or user id. Counts and rates do not change."""
    from webhook_app.pipeline.people import erase as erasing  # noqa: PLC0415
    from webhook_app.store.postgres.engine import connect, make_engine  # noqa: PLC0415
    from webhook_app.web.api.people.addresses import find_address  # noqa: PLC0415
    from webhook_app.whatsapp.people.contacts import InvalidAddress  # noqa: PLC0415

    with settings_with_database() as settings:
        url = settings.database_url
        engine = make_engine(url, application="webhook_app erase", pool_size=0)
        with engine.connect() as connection:
            address = find_address(connection, contact)
        if isinstance(address, InvalidAddress):
            raise click.BadParameter(address.reason)
        done = erasing.erase(
            engine,
            lambda: connect(url, application="webhook_app erase"),
            address.key,
            actor="command line",
            now=datetime.now(UTC),
            at_once=sys.maxsize,
        )
    for table, rows in done.rows.items():
        if rows:
            click.echo(f"{rows:8} {table}")
    click.echo("raw archive done" if done.archive_done else "raw archive: the scheduler continues")
    if done.opted_out:
        click.echo("This person opted out: checks still refuse them.")
    if done.earlier_holder_stays:
        click.echo("Somebody else had this number before and is not erased.")


def _progress(length: int, noun: str) -> "ProgressBar[int]":
    return click.progressbar(length=length, label=f"Replaying {length} {noun}", file=sys.stderr)
