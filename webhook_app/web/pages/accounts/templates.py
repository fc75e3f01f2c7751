"""/templates: message templates with their state at Meta, their failures, and how they changed. Read-only."""

from datetime import timedelta
from urllib.parse import urlencode

from flask import Response

from webhook_app.store.accounts import numbers
from webhook_app.web.api.accounts.templates import (
    Failures,
    TemplateHistoryQuery,
    TemplatesQuery,
    find_templates,
    list_template_history,
    read_failures,
)
from webhook_app.web.pages.page import Page, PageRequest, read_form, render

_PAGE = 50
_KEPT = timedelta(minutes=5)
"""How long the page keeps counts of failures: reading them costs as much as the counts of a week hold."""
_FILTERS = ("waba_id", "name", "language", "status")
STATUSES = ("APPROVED", "PENDING", "REJECTED", "PAUSED", "DISABLED", "IN_APPEAL", "ARCHIVED", "DELETED")
BADGES = {"APPROVED": "calm", "PAUSED": "watch", "PENDING": "", "ARCHIVED": "", "DELETED": ""}


def template_list(request: PageRequest) -> Response:
    """A page of templates; with a name also their changes."""
    given = {name: value for name in _FILTERS if (value := request.args.get(name, "").strip())}
    place = {"cursor": request.args["cursor"]} if request.args.get("cursor") else {}

    def failures(names: list[str]) -> Failures:
        key = ("failures of templates", *names)
        return request.keep(key, _KEPT, lambda: read_failures(request.call, names))

    query = read_form(given | place | {"limit": _PAGE}, TemplatesQuery)
    found = find_templates(request.call, query, failures)
    changes = []
    if "name" in given:
        one = {name: given[name] for name in given if name != "status"}
        changes = list_template_history(request.call, read_form(one, TemplateHistoryQuery)).changes
    return render(
        request,
        "templates.html",
        templates=found.templates,
        changes=changes,
        accounts=numbers.names(request.connection, " ".join({each.waba_id for each in found.templates})),
        given=given,
        statuses=STATUSES,
        badges=BADGES,
        following=found.next_cursor and urlencode(given | {"cursor": found.next_cursor}),
        first=f"/templates?{urlencode(given)}" if place else None,
        is_configured=bool(request.settings.meta_access_token),
    )


PAGES = (Page("GET", "/templates", template_list),)
