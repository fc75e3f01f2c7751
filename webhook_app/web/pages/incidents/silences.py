"""/alerts/silences: what nobody is to be told of and until when; adding one, ending one."""

from collections.abc import Mapping

from flask import Blueprint, Response, request
from msgspec import Struct
from werkzeug.exceptions import NotFound

from webhook_app.pipeline.incidents import alert_actions
from webhook_app.rules.incidents.rule_keys import SEVERITIES
from webhook_app.rules.incidents.silences import is_silenced
from webhook_app.store.incidents import alerts, silences
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.silences import Silence
from webhook_app.web.api import cursor
from webhook_app.web.pages.frame import PageContext, PageRequest, add_page, render, said
from webhook_app.web.pages.incidents.alert_names import KINDS
from webhook_app.web.pages.incidents.alert_view import AlertView, view
from webhook_app.web.pages.incidents.alerts import known_alert
from webhook_app.web.pages.incidents.silence_form import NOTHING, SPANS, SilenceForm, for_group, read_form
from webhook_app.web.pages.wording import moment, number

PATH = "/alerts/silences"

_PAGE = 50
_BIGINT = 2**63
_WORDS = {
    "rule": "rule",
    "kind": "kind",
    "severity": "severity",
    "code": "error code",
    "phone_number_id": "business number",
    "waba_id": "WhatsApp account",
    "template": "template",
    "campaign": "campaign",
    "country": "country",
}


class SilenceRow(Struct, frozen=True):
    """A silence, what it is about in words, and the open alerts that it covers."""

    silence: Silence
    about: str
    covers: list[AlertView]
    is_active: bool


def add_silence_pages(blueprint: Blueprint, desk: PageContext) -> None:
    """The list, the form, and the two buttons."""

    def silence_list(visit: PageRequest) -> Response:
        before = cursor.decode_id(request.args.get("cursor"))
        found = silences.list_page(visit.connection, _PAGE + 1, before)
        still = alerts.open_alerts(visit.connection)
        shown = [_shown(each, still, desk, visit) for each in found[:_PAGE]]
        return render(
            visit,
            "silences.html",
            active=[each for each in shown if each.is_active],
            over=[each for each in shown if not each.is_active],
            following=cursor.encode(found[_PAGE - 1].id) if len(found) > _PAGE else None,
            is_first=before is None,
        )

    def silence_form(visit: PageRequest) -> Response:
        given = request.args.get("alert", "")
        if given.isdecimal() and int(given) < _BIGINT:
            alert = known_alert(visit, int(given))
            return form_page(visit, for_group(alert.rule, alert.group), alert.id)
        return form_page(visit, SilenceForm(request.args.to_dict()))

    def form_page(visit: PageRequest, form: SilenceForm, alert_id: int | None = None) -> Response:
        return render(
            visit,
            "silence_form.html",
            form=form,
            alert_id=alert_id,
            rules=list(desk.rules),
            kinds=KINDS,
            severities=SEVERITIES,
            spans=SPANS,
            nothing=NOTHING,
        )

    def add_silence(visit: PageRequest) -> Response:
        meant = read_form(request.form, visit.now)
        if isinstance(meant, str):
            response = form_page(visit, SilenceForm(request.form.to_dict(), meant))
            response.status_code = 400
            return response
        made = alert_actions.add_silence(
            visit.connection,
            matchers=meant.matchers,
            author=visit.session.key.name,
            until=meant.until,
            comment=meant.comment,
            now=visit.now,
        )
        covered = len(_covered(made.matchers, alerts.open_alerts(visit.connection)))
        told = f"it covers {number(covered)} open alert{'' if covered == 1 else 's'}"
        return said(visit, PATH, f"Silence {made.id} holds until {moment(made.until)}; {told}.")

    def end_silence(visit: PageRequest, silence_id: int) -> Response:
        actor = visit.session.key.name
        ended = (
            alert_actions.end_silence(visit.connection, silence_id, actor=actor, now=visit.now)
            if silence_id < _BIGINT
            else None
        )
        if ended is None:
            raise NotFound(f"There is no silence {silence_id}.")
        return said(
            visit, PATH, f"Silence {silence_id} is over; what still fires is told with the next evaluation."
        )

    add_page(blueprint, desk, PATH, silence_list)
    add_page(blueprint, desk, f"{PATH}/new", silence_form)
    add_page(blueprint, desk, PATH, add_silence, method="POST")
    add_page(blueprint, desk, f"{PATH}/<int:silence_id>/end", end_silence, method="POST")


def about(matchers: Mapping[str, str | int]) -> str:
    """What a silence matches, in words."""
    parts = [
        f"{_WORDS[name]} {matchers[name]}".strip() for name in _WORDS if matchers.get(name) not in (None, "")
    ]
    parts += [f"no {_WORDS[name]}" for name in _WORDS if matchers.get(name) == ""]
    return ", ".join(parts)


def _shown(silence: Silence, still: list[Alert], desk: PageContext, visit: PageRequest) -> SilenceRow:
    active = silence.is_active(visit.now)
    covered = _covered(silence.matchers, still) if active else []
    return SilenceRow(
        silence, about(silence.matchers), [view(a, desk.rules, visit.now) for a in covered], active
    )


def _covered(matchers: Mapping[str, str | int], still: list[Alert]) -> list[Alert]:
    return [
        alert
        for alert in still
        if is_silenced(
            matchers, {"rule": alert.rule, "kind": alert.kind, "severity": alert.severity} | alert.group
        )
    ]
