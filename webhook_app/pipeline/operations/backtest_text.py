"""Formats the report of a backtest for a terminal. Contacts are counted, not named."""

from collections import Counter

from webhook_app.channels.descriptions import describe_group
from webhook_app.pipeline.operations.backtest import BacktestAlert, BacktestReport
from webhook_app.rules.incidents.formats import moment, number


def as_text(report: BacktestReport) -> str:
    """The report as text: alerts in order of time, then suppressions."""
    notified = [firing for firing in report.firings if firing.told_at is not None]
    span = f"{moment(report.start)} to {moment(report.end)}, {number(report.evaluations)} evaluations"
    lines = [
        f"{span}: {number(len(report.firings))} alerts, {number(len(notified))} notified, the others muted.",
        "",
        *(line for firing in report.firings for line in _lines(firing, report)),
    ]
    if report.left_out:
        lines += [
            f"Not evaluated, since their kinds need more than stored counts: {', '.join(report.left_out)}.",
            "",
        ]
    reasons = Counter(f"{row.reason} ({row.scope})" for row in report.blocked)
    named = ", ".join(f"{name} {number(count)}" for name, count in reasons.most_common())
    lines.append(
        f"Suppressed: {number(len(report.blocked))} contacts{f': {named}' if named else ''};"
        f" {number(report.spared)} more without the alerts."
    )
    return "\n".join(lines)


def _lines(firing: BacktestAlert, report: BacktestReport) -> list[str]:
    end = f"for {number(firing.minutes(report.end))} min" if firing.resolved_at else "still firing"
    codes = ", ".join(f"{each.code} ({number(each.failures)})" for each in firing.codes[:4])
    spoken = f"; muted by alert {firing.spoken_for_by}" if firing.told_at is None else ""
    what = f"{firing.rule}: {describe_group(firing.group)}"
    return [
        f"{firing.number:4}  {moment(firing.fired_at)}  {firing.severity:8}  {what}, {end}{spoken}",
        f"      codes {codes}" if codes else "      no codes",
        f"      {firing.why}",
        "",
    ]
