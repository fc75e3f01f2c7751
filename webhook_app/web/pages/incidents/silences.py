"""/alerts/silences: which alerts are muted and until when; adding and ending silences."""

from collections.abc import Mapping

from flask import Response
from msgspec import Struct
from werkzeug.exceptions import NotFound

from webhook_app.pipeline.incidents import actions
from webhook_app.rules.counts.dimensions import GROUP_WORDS
from webhook_app.rules.incidents.rules_file.rule_keys import SEVERITIES
from webhook_app.rules.incidents.silences import is_silenced
from webhook_app.store.incidents import alerts, silences
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.silences import Silence
from webhook_app.web.api import cursor
from webhook_app.web.pages.incidents.alert_names import KINDS
from webhook_app.web.pages.incidents.alert_view import AlertView, view
from webhook_app.web.pages.incidents.incidents import known_incident
from webhook_app.web.pages.incidents.silence_form import NOTHING, SPANS, SilenceForm, for_alerts, read_form
from webhook_app.web.pages.page import Page, PageRequest, redirect_with_message, render
from webhook_app.web.pages.wording import moment, number

PATH = "/alerts/silences"

_PAGE = 50
_WORDS = {
    "rule": "rule",
    "kind": "kind",
    "severity": "severity",
    **GROUP_WORDS,
}


class SilenceRow(Struct, frozen=True):
    """A silence, its matchers in words, and the open alerts that it covers."""

    silence: Silence
    about: str
    covers: list[AlertView]
    is_active: bool


def silence_list(request: PageRequest) -> Response:
    """The silences, the latest first."""
    found, following = cursor.cut(
        silences.list_page(request.connection, _PAGE + 1, request.before), _PAGE, lambda silence: silence.id
    )
    open_alerts = alerts.open_alerts(request.connection)
    rows = [_row(request, each, open_alerts) for each in found]
    return render(
        request,
        "silences.html",
        active=[each for each in rows if each.is_active],
        over=[each for each in rows if not each.is_active],
        following=following,
        is_first=request.before is None,
    )


def silence_form(request: PageRequest) -> Response:
    """The form, filled in for one incident or from the query."""
    given = request.args.get("incident", "")
    if given.isdecimal():
        incident = known_incident(request, int(given))
        members = alerts.of_incidents(request.connection, [incident.id])
        return _form(request, for_alerts(members), incident_id=incident.id)
    return _form(request, SilenceForm(request.args.to_dict()))


def add_silence(request: PageRequest) -> Response:
    """Add the silence of the form."""
    read = read_form(request.form, request.now)
    if isinstance(read, str):
        return _form(request, SilenceForm(request.form.to_dict(), read), status=400)
    silence = actions.add_silence(
        request.connection,
        matchers=read.matchers,
        author=request.actor,
        until=read.until,
        comment=read.comment,
        now=request.now,
    )
    covered = len(_covered(silence.matchers, alerts.open_alerts(request.connection)))
    alerts_covered = f"it covers {number(covered)} open alert{'' if covered == 1 else 's'}"
    words = f"Silence {silence.id} is in force until {moment(silence.until)}; {alerts_covered}."
    return redirect_with_message(request, PATH, words)


def end_silence(request: PageRequest, silence_id: int) -> Response:
    """End a silence before its time."""
    ended = actions.end_silence(request.connection, silence_id, actor=request.actor, now=request.now)
    if ended is None:
        raise NotFound(f"There is no silence {silence_id}.")
    words = (
        f"Silence {silence_id} has ended; incidents that are still open are notified at the next evaluation."
    )
    return redirect_with_message(request, PATH, words)


def about(matchers: Mapping[str, str | int]) -> str:
    """The matchers in words."""
    parts = [
        f"{_WORDS[name]} {matchers[name]}".strip() for name in _WORDS if matchers.get(name) not in (None, "")
    ]
    parts += [f"no {_WORDS[name]}" for name in _WORDS if matchers.get(name) == ""]
    return ", ".join(parts)


def _form(
    request: PageRequest, form: SilenceForm, *, incident_id: int | None = None, status: int = 200
) -> Response:
    return render(
        request,
        "silence_form.html",
        status=status,
        form=form,
        incident_id=incident_id,
        rules=list(request.rules),
        kinds=KINDS,
        severities=SEVERITIES,
        spans=SPANS,
        nothing=NOTHING,
    )


def _row(request: PageRequest, silence: Silence, open_alerts: list[Alert]) -> SilenceRow:
    active = silence.is_active(request.now)
    covered = _covered(silence.matchers, open_alerts) if active else []
    return SilenceRow(silence, about(silence.matchers), [view(alert) for alert in covered], active)


def _covered(matchers: Mapping[str, str | int], open_alerts: list[Alert]) -> list[Alert]:
    return [
        alert
        for alert in open_alerts
        if is_silenced(
            matchers, {"rule": alert.rule, "kind": alert.kind, "severity": alert.severity} | alert.group
        )
    ]


PAGES = (
    Page("GET", PATH, silence_list),
    Page("GET", f"{PATH}/new", silence_form),
    Page("POST", PATH, add_silence),
    Page("POST", f"{PATH}/<int:silence_id>/end", end_silence),
)
