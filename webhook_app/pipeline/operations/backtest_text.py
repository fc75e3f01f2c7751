"""A backtest's report as people read it in a terminal. Contacts are counted and not named."""

from collections import Counter

from webhook_app.channels.spelling import describe_group, moment, number
from webhook_app.pipeline.operations.backtest import BacktestAlert, BacktestReport


def as_text(report: BacktestReport) -> str:
    """The alerts in order of time, then what becomes of contacts."""
    told = [firing for firing in report.firings if firing.told_at is not None]
    span = f"{moment(report.start)} to {moment(report.end)}, {number(report.evaluations)} looks"
    spoken_for = "told, the others spoken for by one of them"
    lines = [
        f"{span}: {number(len(report.firings))} alerts, {number(len(told))} {spoken_for}.",
        "",
        *(line for firing in report.firings for line in _lines(firing, report)),
    ]
    if report.left_out:
        lines += [f"Not judged, for there is no past to judge them by: {', '.join(report.left_out)}.", ""]
    reasons = Counter(f"{row.reason} ({row.scope})" for row in report.blocked)
    named = ", ".join(f"{name} {number(count)}" for name, count in reasons.most_common())
    lines.append(
        f"Suppressed: {number(len(report.blocked))} contacts{f': {named}' if named else ''};"
        f" the alerts spared {number(report.spared)}."
    )
    return "\n".join(lines)


def _lines(firing: BacktestAlert, report: BacktestReport) -> list[str]:
    end = f"for {number(firing.minutes(report.end))} min" if firing.resolved_at else "and goes on"
    codes = ", ".join(f"{each.code} ({number(each.failures)})" for each in firing.codes[:4])
    spoken = f"; alert {firing.spoken_for_by} speaks for it" if firing.told_at is None else ""
    what = f"{firing.rule}: {describe_group(firing.group)}"
    return [
        f"{firing.number:4}  {moment(firing.fired_at)}  {firing.severity:8}  {what}, {end}{spoken}",
        f"      codes {codes}" if codes else "      no codes",
        f"      {firing.why}",
        "",
    ]
