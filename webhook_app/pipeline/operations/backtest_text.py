"""Formats the report of a backtest for a terminal. Contacts are counted, not named."""

from collections import Counter

from webhook_app.pipeline.operations.backtest import BacktestIncident, BacktestReport
from webhook_app.rules.incidents.formats import moment, number, percent


def as_text(report: BacktestReport) -> str:
    """The report as text: incidents in order of time, then findings and suppressions."""
    told = [incident for incident in report.incidents if incident.told_at is not None]
    span = f"{moment(report.start)} to {moment(report.end)}, {number(report.evaluations)} evaluations"
    lines = [
        f"{span}: {number(len(report.incidents))} incidents, {number(len(told))} notified.",
        "",
        *(line for incident in report.incidents for line in _lines(incident, report)),
    ]
    lines += [
        f"{each.state} since {each.since:%Y-%m-%d}  {each.kind:17} {each.title}" for each in report.findings
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
        f" {number(report.spared)} more without the incidents."
    )
    return "\n".join(lines)


def _lines(incident: BacktestIncident, report: BacktestReport) -> list[str]:
    end = f"{incident.ended_how} after" if incident.ended_at else "open for"
    sent = ", ".join(f"{each.reason} {moment(each.at)}" for each in incident.messages)
    rates = [each.rate for each in incident.messages if each.rate is not None]
    worst = f", {percent(max(rates))} at its worst" if rates else ""
    lasted = f"{end} {number(incident.minutes(report.end))} min"
    return [
        f"{moment(incident.opened_at)}  {incident.severity:8}  {incident.title}, {lasted}",
        f"      {number(incident.failures)} messages failed, {number(incident.contacts)} contacts{worst}",
        f"      rules {', '.join(sorted({alert.rule for alert in incident.alerts}))}",
        f"      messages: {sent}" if sent else "      nobody would have been notified",
        "",
    ]
