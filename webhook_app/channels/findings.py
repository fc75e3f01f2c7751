"""Messages about findings: their content, and their text, which shows that they are no incidents.

PagerDuty and Alertmanager get none: a state that has lasted a week wakes nobody.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol, runtime_checkable

from msgspec import Struct

from webhook_app.channels.incident_text import MessageText, text_with_names
from webhook_app.channels.notification import Undelivered
from webhook_app.rules.incidents.formats import moment, number, percent

FINDING_CHANNELS = ("slack", "email", "webhook", "log")
"""The names of channels that take findings, in order of preference for rerouting."""

NO_INCIDENT = 0
"""In the outbox, the number of the incident of messages that are about findings."""

_MAX_LISTED = 30
_FOOTER = "A finding is a state that lasts, not an incident: it is announced once and in the weekly digest"


class FindingEntry(Struct, frozen=True, kw_only=True):
    """One finding as a message says it. `impact` and `evidence` depend on its kind."""

    finding_id: int
    kind: str
    title: str
    severity: str
    codes: tuple[int, ...] = ()
    slice: dict[str, tuple[str, ...]] | None = None
    impact: dict[str, Any] = {}
    evidence: dict[str, Any] = {}
    advice: str
    since: datetime
    fixed_at: datetime | None = None
    link: str = ""


class FindingMessage(Struct, frozen=True, kw_only=True):
    """One message about new findings, or the weekly digest with the open ones and those fixed in the week."""

    id: int = 0
    """Its id in the outbox, the same at every try; 0 before it is sent."""
    reason: Literal["finding", "digest"]
    at: datetime
    findings: tuple[FindingEntry, ...]
    fixed: tuple[FindingEntry, ...] = ()
    link: str = ""
    """The page of all findings."""
    undelivered: tuple[Undelivered, ...] = ()
    """Channels that did not accept the message, if it was rerouted."""
    names: dict[str, str] = {}
    """Names of business numbers and accounts by their ids, for the text."""

    @property
    def incident_id(self) -> int:
        return NO_INCIDENT


@runtime_checkable
class FindingChannel(Protocol):
    """A channel that takes findings."""

    def send_findings(self, message: FindingMessage) -> None:
        """Send it, or raise SendError. The same message may be sent again."""


def compose_findings(message: FindingMessage) -> MessageText:
    """The text in reading order: title, start, impact, what was counted, what to do."""
    return text_with_names(_compose(message), message.names)


def _compose(message: FindingMessage) -> MessageText:
    facts = [(f"Not delivered on {missed.channel}", missed.fault) for missed in message.undelivered]
    if message.reason == "finding" and len(message.findings) == 1:
        found = message.findings[0]
        return MessageText(
            f"Finding: {found.title}",
            (*facts, *_facts(found)),
            (("Open the finding", found.link),) if found.link else (),
            f"{_FOOTER}. Finding {found.finding_id}, {found.kind}.",
        )
    facts += [(_line_label(found), _line(found)) for found in message.findings[:_MAX_LISTED]]
    if more := len(message.findings) - _MAX_LISTED:
        facts += [("And", f"{number(more)} more, on the page")] if more > 0 else []
    facts += [("Fixed", found.title) for found in message.fixed[:_MAX_LISTED]]
    links = (("Open the findings", message.link),) if message.link else ()
    return MessageText(_headline(message), tuple(facts), links, f"{_FOOTER}.")


def _headline(message: FindingMessage) -> str:
    count = number(len(message.findings))
    if message.reason == "finding":
        return f"{count} new findings"
    fixed = f", {number(len(message.fixed))} fixed this week" if message.fixed else ""
    return f"Findings of the week: {count} open{fixed}"


def _facts(found: FindingEntry) -> list[tuple[str, str]]:
    facts = [("Since", moment(found.since))]
    if impact := describe_impact(found.impact):
        facts.append(("Impact", impact))
    if evidence := describe_evidence(found.kind, found.evidence):
        facts.append(("Counted", evidence))
    facts.append(("What to do", found.advice))
    return facts


def _line_label(found: FindingEntry) -> str:
    return f"Since {found.since:%Y-%m-%d}"


def _line(found: FindingEntry) -> str:
    impact = describe_impact(found.impact)
    return f"{found.title} ({impact})" if impact else found.title


def describe_impact(impact: Mapping[str, Any]) -> str:
    """The impact of a finding in words; empty where nothing is counted."""
    parts = []
    if impact.get("failures") is not None:
        contacts = f" to {number(impact['contacts'])} contacts" if impact.get("contacts") else ""
        days = f" on {number(impact['days'])} days" if impact.get("days") else ""
        parts.append(f"{number(impact['failures'])} failed messages{contacts}{days}")
    if impact.get("messages") is not None:
        parts.append(f"{number(impact['messages'])} messages in a week")
    if impact.get("share") is not None:
        parts.append(percent(impact["share"]))
    return ", ".join(parts)


def describe_evidence(kind: str, evidence: Mapping[str, Any]) -> str:
    """What was counted, in words."""
    text = ""
    match kind:
        case "chronic" if "days" in evidence:
            days: Sequence[Mapping[str, Any]] = evidence["days"]
            counted = ", ".join(
                f"{number(day['failures'])} of {number(day['attempts'])}" for day in days if day["attempts"]
            )
            text = f"failed by day: {counted}; the threshold is {percent(evidence['threshold'])}"
        case "chronic":
            text = f"incident {evidence['incident_id']} lasted seven days"
        case "recurring":
            incidents: Sequence[Mapping[str, Any]] = evidence["incidents"]
            ids = ", ".join(dict.fromkeys(str(each["incident_id"]) for each in incidents))
            text = f"at about {evidence['at']} UTC on {number(len(incidents))} days; incidents {ids}"
        case "template_quality":
            before = f", before {evidence['before']}" if evidence.get("before") else ""
            text = f"reported by Meta: {evidence['quality']}{before}"
        case "unlabelled_sends":
            of = f"{number(evidence['unlabelled'])} of {number(evidence['messages'])}"
            text = f"{of} messages of a week name neither template nor campaign"
        case "unreached_list":
            of = f"{number(evidence['unreached'])} of {number(evidence['contacts'])}"
            text = f"{of} contacts were never reached"
    return text
