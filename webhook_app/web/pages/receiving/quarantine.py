"""/system/quarantine: signed items that were not understood, and their replay after a fix, with its progress."""

from collections.abc import Iterator
from contextlib import ExitStack

from flask import Response

from webhook_app.pipeline.receiving.replay import Replay, ReplayBusyError, ReplayTally
from webhook_app.store.receiving import quarantine
from webhook_app.store.receiving.quarantine import Quarantined, QuarantineFilters
from webhook_app.web.api import cursor
from webhook_app.web.pages.page import Page, PageRequest, redirect_with_message, render, render_part
from webhook_app.web.pages.wording import number
from webhook_app.web.receiving.quarantine_replay import quarantine_replay

_PAGE = 25
_SHOWN = 2000  # characters of an item
_HERE = "/system/quarantine"
_PROGRESS = "<!-- progress -->"


def quarantine_page(request: PageRequest) -> Response:
    """A page of the items, the latest first."""
    reason, field = _texts(request.args.get("reason", ""), request.args.get("field", ""))
    is_all = request.args.get("state") == "all"
    chosen = QuarantineFilters(reason=reason, field=field or None)
    found = quarantine.list_page(
        request.connection, _PAGE + 1, before_id=request.before, only_open=not is_all, chosen=chosen
    )
    page, following = cursor.cut(found, _PAGE, lambda item: item.id)
    return render(
        request,
        "quarantine.html",
        items=[(item, _excerpt(item)) for item in page],
        reason=reason,
        field=field,
        is_all=is_all,
        waiting=quarantine.count_open(request.connection, chosen),
        following=following,
    )


def replay_quarantine(request: PageRequest) -> Response:
    """Replay the chosen items; the answer streams the progress."""
    reason, field = _texts(request.form.get("reason", ""), request.form.get("field", ""))
    resources = ExitStack()  # closed when the answer is out
    try:
        replay = resources.enter_context(quarantine_replay(request.settings, request.now))
    except ReplayBusyError as busy:
        return redirect_with_message(request, _HERE, str(busy), is_good=False)
    page = render_part(request, "replay.html")
    parts = _progress(replay, QuarantineFilters(reason=reason, field=field or None), page)
    response = Response(parts, content_type="text/html; charset=utf-8")
    response.headers["X-Accel-Buffering"] = "no"  # or a proxy buffers the progress
    response.call_on_close(resources.close)
    return response


def _progress(replay: Replay, chosen: QuarantineFilters, page: str) -> Iterator[str]:
    """The page in parts, with a line for each batch once it is replayed."""
    head, _, foot = page.partition(_PROGRESS)
    total = replay.count_quarantine(chosen)
    yield f"{head}<p>{number(total)} items to replay.</p><ul class='plain'>\n"
    outcome = ReplayTally()
    try:
        for outcome in replay.pages_of_quarantine(chosen):
            yield f"<li>{number(outcome.looked_at)} of {number(total)} replayed</li>\n"
    except ReplayBusyError as busy:  # an erasure has begun meanwhile
        yield f"<li>{busy}</li>\n"
    counts = (
        f"{number(outcome.applied)} applied, {number(outcome.duplicate)} already known, "
        f"{number(outcome.ignored)} not needed, {number(outcome.left)} still not understood"
    )
    yield f"</ul><p class='flash good' role='status'>Done: {counts}.</p>{foot}"


def _excerpt(item: Quarantined) -> str:
    text = item.item if item.item is not None else (item.body or b"").decode("utf-8", "replace")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} …"


def _texts(*given: str) -> list[str]:
    """The texts without NUL, which Postgres refuses."""
    return [text.strip().replace("\0", "") for text in given]


PAGES = (
    Page("GET", _HERE, quarantine_page),
    Page("POST", f"{_HERE}/replay", replay_quarantine),
)
