"""/system/quarantine: what was signed but not understood, and reading it again after a fix, with its progress."""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from flask import Blueprint, Response, render_template, request

from webhook_app.pipeline.receiving.replay import Replay, ReplayBusyError, ReplayTally
from webhook_app.store.postgres.engine import connect
from webhook_app.store.receiving import quarantine
from webhook_app.store.receiving.quarantine import Quarantined, QuarantineFilters
from webhook_app.web.api import cursor
from webhook_app.web.pages.frame import PageContext, PageRequest, add_page, render, said
from webhook_app.web.pages.wording import number
from webhook_app.whatsapp.receiving.payload import parse

_PAGE = 25
_SHOWN = 2000  # characters of an item
_HERE = "/system/quarantine"
_PROGRESS = "<!-- progress -->"


def add_quarantine_pages(blueprint: Blueprint, desk: PageContext) -> None:
    """The list, and the button."""
    url = desk.room.settings.database_url
    read = partial(parse, words=desk.room.settings.keywords)

    def quarantine_page(visit: PageRequest) -> Response:
        reason, field = _texts(request.args.get("reason", ""), request.args.get("field", ""))
        is_all = request.args.get("state") == "all"
        chosen = QuarantineFilters(reason=reason, field=field or None)
        before = cursor.decode_id(request.args.get("cursor"))
        found = quarantine.list_page(
            visit.connection, _PAGE + 1, before_id=before, only_open=not is_all, chosen=chosen
        )
        return render(
            visit,
            "quarantine.html",
            items=[(item, _excerpt(item)) for item in found[:_PAGE]],
            reason=reason,
            field=field,
            is_all=is_all,
            waiting=quarantine.count_open(visit.connection, chosen),
            following=cursor.encode(found[_PAGE - 1].id) if len(found) > _PAGE else None,
        )

    def replay_quarantine(visit: PageRequest) -> Response:
        reason, field = _texts(request.form.get("reason", ""), request.form.get("field", ""))
        held = ExitStack()  # until the answer is out, which is after this view
        try:
            replay = held.enter_context(
                Replay(lambda: connect(url, application="webhook_app replay"), visit.now, read=read)
            )
        except ReplayBusyError as busy:
            return said(visit, _HERE, str(busy), is_good=False)
        page = render_template("replay.html", visit=visit, now=visit.now)
        told = _progress(replay, QuarantineFilters(reason=reason, field=field or None), page)
        response = Response(told, content_type="text/html; charset=utf-8")
        response.headers["X-Accel-Buffering"] = "no"  # or a proxy would keep the progress to itself
        response.call_on_close(held.close)
        return response

    add_page(blueprint, desk, _HERE, quarantine_page)
    add_page(blueprint, desk, f"{_HERE}/replay", replay_quarantine, method="POST")


def _progress(replay: Replay, chosen: QuarantineFilters, page: str) -> Iterator[str]:
    """The page, with a line for every stretch that was read, while it is read."""
    head, _, foot = page.partition(_PROGRESS)
    total = replay.count_quarantine(chosen)
    yield f"{head}<p>{number(total)} items wait.</p><ul class='plain'>\n"
    outcome = ReplayTally()
    for outcome in replay.pages_of_quarantine(chosen):
        yield f"<li>{number(outcome.looked_at)} of {number(total)} read again</li>\n"
    became = (
        f"{number(outcome.applied)} applied, {number(outcome.duplicate)} known already, "
        f"{number(outcome.ignored)} not needed, {number(outcome.left)} still not understood"
    )
    yield f"</ul><p class='said good' role='status'>Done: {became}.</p>{foot}"


def _excerpt(item: Quarantined) -> str:
    text = item.item if item.item is not None else (item.body or b"").decode("utf-8", "replace")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} …"


def _texts(*given: str) -> list[str]:
    """What the database can be asked for."""
    return [text.strip().replace("\0", "") for text in given]
