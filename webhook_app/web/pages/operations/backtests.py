"""/rules/backtests: rules tried on the past. The form, how far a run is, and what came of it; the scheduler runs it."""

from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, render_template, request
from msgspec import Struct
from werkzeug.exceptions import NotFound

from webhook_app.rules.incidents.rules_file import RulesFileError, parse_rules
from webhook_app.store.operations import backtests
from webhook_app.store.operations.backtests import Backtest
from webhook_app.web.pages import wording
from webhook_app.web.pages.frame import PageContext, PageRequest, add_page, live_answer, render, said
from webhook_app.web.rules_in_force import rules_text

PATH = "/rules/backtests"
DAYS = (1, 3, 7, 14, 30)
STEPS = {60: "every minute", 300: "every 5 minutes"}
MOST_WAITING = 5

_LONGEST_RULES = 40_000
_RECENT = 20
_PEOPLE = 100
_BIGINT = 2**63


class BacktestForm(Struct, frozen=True):
    """The form as it was sent, and what is wrong with it."""

    rules: str = ""
    chosen: tuple[str, ...] = ()
    days: str = "7"
    step: str = "60"
    fault: str = ""


def add_backtest_pages(blueprint: Blueprint, desk: PageContext) -> None:
    """The form with the latest runs, one run, what its page exchanges, beginning and stopping."""

    def backtest_list(visit: PageRequest) -> Response:
        return form_page(visit, BacktestForm(chosen=tuple(desk.rules)))

    def form_page(visit: PageRequest, typed: BacktestForm) -> Response:
        return render(
            visit,
            "backtests.html",
            typed=typed,
            rules=list(desk.rules),
            all_days=DAYS,
            steps=STEPS,
            recent=backtests.latest(visit.connection, _RECENT),
            longest=_LONGEST_RULES,
        )

    def begin_backtest(visit: PageRequest) -> Response:
        typed = _typed()
        text = typed.rules if typed.rules.strip() else rules_text(desk.room.settings)
        fault = _fault(typed, text) or (_busy(visit) if text else "The rules file cannot be read.")
        if fault or text is None:
            response = form_page(
                visit, BacktestForm(typed.rules, typed.chosen, typed.days, typed.step, fault)
            )
            response.status_code = 400
            return response
        made = backtests.add(
            visit.connection,
            requested_by=visit.session.key.name,
            rules=text,
            chosen=() if typed.rules.strip() else typed.chosen,
            span=(visit.now - timedelta(days=int(typed.days)), visit.now),
            step_seconds=int(typed.step),
            now=visit.now,
        )
        return said(visit, f"{PATH}/{made}", "Asked for: the scheduler begins with it in a moment.")

    def backtest_page(visit: PageRequest, backtest_id: int) -> Response:
        return render(visit, "backtest.html", **_shown(visit, backtest_id))

    def backtest_data(visit: PageRequest, backtest_id: int) -> Response:
        """What the page's script exchanges."""
        shown = _shown(visit, backtest_id)
        part = render_template("backtest_result.html", visit=visit, now=visit.now, **shown)
        return live_answer(visit, f"Backtest {backtest_id}", {"result": part}, None, shape=shown["shape"])

    def stop_backtest(visit: PageRequest, backtest_id: int) -> Response:
        run = _known(visit, backtest_id)
        stopped = backtests.stop(visit.connection, run.id, visit.session.key.name, visit.now)
        words = "Stopped." if stopped else "It is over: there was nothing left to stop."
        return said(visit, f"{PATH}/{run.id}", words, is_good=stopped)

    add_page(blueprint, desk, PATH, backtest_list)
    add_page(blueprint, desk, PATH, begin_backtest, method="POST")
    add_page(blueprint, desk, f"{PATH}/<int:backtest_id>", backtest_page)
    add_page(blueprint, desk, "/dashboard/backtests/<int:backtest_id>", backtest_data)
    add_page(blueprint, desk, f"{PATH}/<int:backtest_id>/stop", stop_backtest, method="POST")


def _typed() -> BacktestForm:
    form = request.form
    chosen = tuple(form.getlist("chosen"))
    return BacktestForm(form.get("rules", ""), chosen, form.get("days", ""), form.get("step", ""))


def _fault(typed: BacktestForm, text: str | None) -> str:
    if typed.days not in map(str, DAYS) or typed.step not in map(str, STEPS):
        return "Choose how many days, and how often to look."
    if len(typed.rules) > _LONGEST_RULES or "\0" in typed.rules:
        return f"Rules: at most {wording.number(_LONGEST_RULES)} characters."
    if text is None:
        return ""
    try:
        known = {rule.name for rule in parse_rules(text)}
    except RulesFileError as fault:
        return str(fault)
    if not typed.rules.strip() and not known & set(typed.chosen):
        return "Choose at least one rule, or paste some."
    return ""


def _busy(visit: PageRequest) -> str:
    if backtests.unfinished(visit.connection) < MOST_WAITING:
        return ""
    return f"{MOST_WAITING} backtests wait already: let one of them end first, or stop it."


def _known(visit: PageRequest, backtest_id: int) -> Backtest:
    run = backtests.get(visit.connection, backtest_id) if backtest_id < _BIGINT else None
    if run is None:
        raise NotFound(f"There is no backtest {backtest_id}; they are kept for 30 days.")
    return run


def _shown(visit: PageRequest, backtest_id: int) -> dict[str, Any]:
    run = _known(visit, backtest_id)
    people = backtests.people(visit.connection, run.id, _PEOPLE) if run.state == "done" else []
    return {
        "run": run,
        "people": people,
        "reasons": wording.REASONS,
        "shape": "over" if run.is_over else "running",
    }
