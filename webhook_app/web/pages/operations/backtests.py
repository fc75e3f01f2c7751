"""/rules/backtests: rules run against the past. The form, progress and results; the scheduler does the work."""

from datetime import timedelta
from typing import Any

from flask import Response
from msgspec import Struct
from msgspec.structs import replace
from werkzeug.exceptions import NotFound

from webhook_app.rules.incidents.rules_file.rules_file import MAX_TEXT, RulesFileError, parse_rules
from webhook_app.store.operations import backtests
from webhook_app.store.operations.backtests import Backtest
from webhook_app.web.pages import wording
from webhook_app.web.pages.page import (
    Page,
    PageRequest,
    live_response,
    redirect_with_message,
    render,
    render_part,
)
from webhook_app.web.rules_in_force import rules_text

PATH = "/rules/backtests"
DAYS = (1, 3, 7, 14, 30)
STEPS = {60: "every minute", 300: "every 5 minutes"}
MOST_WAITING = 5

_RECENT = 20
_PEOPLE = 100


class BacktestForm(Struct, frozen=True):
    """The form as it was sent, and its fault."""

    rules: str = ""
    chosen: tuple[str, ...] = ()
    days: str = "7"
    step: str = "60"
    fault: str = ""


def backtest_list(request: PageRequest) -> Response:
    """The form and the latest runs."""
    return _form_page(request, BacktestForm(chosen=tuple(request.rules)))


def begin_backtest(request: PageRequest) -> Response:
    """Queue the backtest of the form."""
    typed = _typed(request)
    text = typed.rules if typed.rules.strip() else rules_text(request.settings)
    fault = _fault(typed, text) or (_busy(request) if text else "The rules file cannot be read.")
    if fault or text is None:
        return _form_page(request, replace(typed, fault=fault), status=400)
    backtest_id = backtests.add(
        request.connection,
        requested_by=request.actor,
        rules=text,
        chosen=() if typed.rules.strip() else typed.chosen,
        span=(request.now - timedelta(days=int(typed.days)), request.now),
        step_seconds=int(typed.step),
        now=request.now,
    )
    words = "Queued: the scheduler starts it within seconds."
    return redirect_with_message(request, f"{PATH}/{backtest_id}", words)


def backtest_page(request: PageRequest, backtest_id: int) -> Response:
    """One run."""
    return render(request, "backtest.html", **_shown(request, backtest_id))


def backtest_data(request: PageRequest, backtest_id: int) -> Response:
    """The part of one run's page that its script replaces."""
    shown = _shown(request, backtest_id)
    part = render_part(request, "backtest_result.html", **shown)
    return live_response(request, f"Backtest {backtest_id}", {"result": part}, None, shape=shown["shape"])


def stop_backtest(request: PageRequest, backtest_id: int) -> Response:
    """Stop a run that waits or runs."""
    run = _known(request, backtest_id)
    stopped = backtests.stop(request.connection, run.id, request.actor, request.now)
    words = "Stopped." if stopped else "Already finished: nothing to stop."
    return redirect_with_message(request, f"{PATH}/{run.id}", words, is_good=stopped)


def _form_page(request: PageRequest, typed: BacktestForm, *, status: int = 200) -> Response:
    return render(
        request,
        "backtests.html",
        status=status,
        typed=typed,
        rules=list(request.rules),
        all_days=DAYS,
        steps=STEPS,
        recent=backtests.latest(request.connection, _RECENT),
        longest=MAX_TEXT,
    )


def _typed(request: PageRequest) -> BacktestForm:
    form = request.form
    chosen = tuple(form.getlist("chosen"))
    return BacktestForm(form.get("rules", ""), chosen, form.get("days", ""), form.get("step", ""))


def _fault(typed: BacktestForm, text: str | None) -> str:
    if typed.days not in map(str, DAYS) or typed.step not in map(str, STEPS):
        return "Choose how many days, and how often to evaluate."
    if len(typed.rules) > MAX_TEXT or "\0" in typed.rules:
        return f"Rules: at most {wording.number(MAX_TEXT)} characters."
    if text is None:
        return ""
    try:
        known = {rule.name for rule in parse_rules(text)}
    except RulesFileError as fault:
        return str(fault)
    if not typed.rules.strip() and not known & set(typed.chosen):
        return "Choose at least one rule, or paste some."
    return ""


def _busy(request: PageRequest) -> str:
    if backtests.unfinished(request.connection) < MOST_WAITING:
        return ""
    return f"{MOST_WAITING} backtests are queued already: wait for one to end, or stop one."


def _known(request: PageRequest, backtest_id: int) -> Backtest:
    run = backtests.get(request.connection, backtest_id)
    if run is None:
        raise NotFound(f"There is no backtest {backtest_id}; they are kept for 30 days.")
    return run


def _shown(request: PageRequest, backtest_id: int) -> dict[str, Any]:
    run = _known(request, backtest_id)
    people = backtests.people(request.connection, run.id, _PEOPLE) if run.state == "done" else []
    return {
        "run": run,
        "people": people,
        "reasons": wording.REASONS,
        "shape": "over" if run.is_over else "running",
    }


PAGES = (
    Page("GET", PATH, backtest_list),
    Page("POST", PATH, begin_backtest),
    Page("GET", f"{PATH}/<int:backtest_id>", backtest_page),
    Page("GET", "/dashboard/backtests/<int:backtest_id>", backtest_data),
    Page("POST", f"{PATH}/<int:backtest_id>/stop", stop_backtest),
)
