"""Renders the catalogue of error codes as Markdown.

`webhook-app codes` prints the page; docs/error-codes.md is that output. All facts about codes are in the catalogue.
"""

from collections.abc import Iterable, Mapping, Sequence

from webhook_app.whatsapp.errors.catalogue import Domain, ErrorCode, FailureClass, checked_on, explain
from webhook_app.whatsapp.errors.moments import MOMENTS, Moment
from webhook_app.whatsapp.errors.retry import retry_advice

_DOMAINS: Mapping[Domain, str] = {
    "recipient": "Recipient: the message cannot be delivered to this person",
    "consent": "Consent: Meta withheld the message, or the person opted out",
    "template": "Template",
    "media": "Media",
    "sender_config": "Request and sender configuration",
    "auth": "Token and permissions",
    "account": "Account",
    "policy": "Policy",
    "rate_limit": "Rate limits",
    "platform": "Meta platform",
    "registration": "Number registration",
    "groups": "Groups",
    "calling": "Calling",
    "other": "Other",
}

_CLASSES: Mapping[FailureClass, str] = {
    "broken": "you or Meta must fix something",
    "withheld": "Meta withheld a marketing message; excluded from the failure rate",
    "unreachable": "the message could not be delivered to this person",
}

_INTRO = """\
# Error codes

What each of Meta's error codes means, what to do about it, and how it affects the contact. The same data is
available with your own counts from `GET /v1/codes/{{code}}` or `/v1/codes/{{code}}/{{subcode}}`, and in a terminal from
`webhook-app codes 190 463`.

`make docs` generates this page from `webhook_app/whatsapp/errors/error_codes.csv` and the other files in that folder.
Edit those files, not this page. The catalogue has {count} entries.

**Lookup order**: code with subcode, code alone, range (200-299), *unknown*. An unknown code has the domain `other`,
never counts against a contact and must not be retried.
Match on the code. Meta is removing titles, newer API versions omit subcodes, and HTTP statuses are unreliable.

**Class** determines which rate a failure counts in:

{classes}

**Retry**: `no`; `after_fix`, when the cause is fixed; `once`, after one minute; `backoff`, after
{backoff} s with jitter; `after_window`, when Meta's limit or pause has ended.

**Contact** is the effect on the contact: `none`; `soft`, counts towards a suppression; `hard`, suppresses at once;
`marketing_only`, stops only marketing. Only codes about the person have one; the reasons are below.

**Attention**: `page`, needs action the first time it occurs; `watch`, worth checking; `none`, expected in normal
operation.

**Confidence**: `high`, Meta documents it and other sources agree; `medium`, one good source; `low`, field reports
only, or sources disagree. A title in *italics* is ours, because Meta gives none.

**Checked** is the date of the newest page of Meta's that the entry was checked against; `undated` if none of its
sources is a page of Meta's with a date.
"""

_HEAD = (
    "| Code | Title | Retry | Contact | Attention | Meaning | Action | Confidence | Checked |\n"
    + "| --- " * 9
    + "|"
)


def markdown_page(entries: Sequence[ErrorCode], sources: Mapping[str, str]) -> str:
    """Render the complete page."""
    by_domain = {domain: [e for e in entries if e.domain == domain] for domain in _DOMAINS}
    waits = retry_advice(next(e for e in entries if e.retry == "backoff")).waits_seconds
    parts = [
        _INTRO.format(
            count=len(entries),
            classes="\n".join(f"- `{name}`: {meaning}" for name, meaning in _CLASSES.items()),
            backoff=", ".join(map(str, waits)),
        ),
        _misreadings(entries),
        _contact_reasons(entries),
        _moments(),
        *(_section(domain, group) for domain, group in by_domain.items() if group),
        _sources(entries, sources),
    ]
    return "\n".join(parts)


def entry_text(entry: ErrorCode) -> str:
    """Render one entry for a terminal."""
    place = f"{code_label(entry)}  {entry.title}" + ("" if entry.official_title else "  (our title)")
    lines = [
        place,
        f"  {entry.summary}",
        f"  Fault domain {entry.domain}, class {entry.failure_class}. Effect on the contact: {entry.contact_effect}.",
        *([f"  {entry.contact_reason}"] if entry.contact_reason else []),
        f"  {retry_advice(entry).words}",
        *([f"  Common mistake: {entry.mistaken_for}"] if entry.mistaken_for else []),
        f"  Confidence {entry.confidence}"
        + (f", from {', '.join(entry.sources)}." if entry.sources else "."),
        *([f"  Checked against Meta's page of {checked}."] if (checked := checked_on(entry)) else []),
    ]
    return "\n".join(lines)


def code_label(entry: ErrorCode) -> str:
    """Return the code as written on pages: 131026, 190/463 or 200-299."""
    if entry.subcode is not None:
        return f"{entry.code}/{entry.subcode}"
    return str(entry.code) if entry.code == entry.code_to else f"{entry.code}-{entry.code_to}"


def _section(domain: Domain, entries: Iterable[ErrorCode]) -> str:
    rows = "\n".join(map(_row, entries))
    return f"## {_DOMAINS[domain]}\n\nDomain `{domain}`.\n\n{_HEAD}\n{rows}\n"


def _row(entry: ErrorCode) -> str:
    title = entry.title if entry.official_title else f"*{entry.title}*"
    where = f"{entry.confidence}: {', '.join(entry.sources)}"
    cells = (
        f"**{code_label(entry)}**",
        title,
        entry.retry,
        entry.contact_effect,
        entry.attention,
        entry.summary,
        entry.action,
        where,
        checked_on(entry) or "undated",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _misreadings(entries: Iterable[ErrorCode]) -> str:
    rows = "\n".join(
        f"- **{code_label(e)}** {e.title.rstrip('.')}. {e.mistaken_for}" for e in entries if e.mistaken_for
    )
    return f"## Common mistakes\n\nWrong meanings in public guides and lists, and the right ones.\n\n{rows}\n"


def _contact_reasons(entries: Iterable[ErrorCode]) -> str:
    rows = "\n".join(
        f"- **{code_label(e)}** `{e.contact_effect}`. {e.contact_reason}" for e in entries if e.contact_reason
    )
    return (
        "## Effect on the contact\n\nWhy a code affects the contact, and why some that seem to be about the person"
        f" do not. Every code that is not listed has the effect `none`.\n\n{rows}\n"
    )


_WHEN: Mapping[Moment, str] = {"before": "before the send", "at": "answer to the send", "after": "webhook"}


def _moments() -> str:
    rows = "\n".join(
        f"| {each.code} | {explain(each.code).title} | {_WHEN[each.moment]} | {each.how} |"
        for each in MOMENTS
    )
    return (
        "## When a code can be known\n\n`POST /v1/preflight` judges a message [before it is"
        " sent](senders.md#judge-a-message-before-you-send-it). What it cannot know, Meta answers to the send, or"
        f" reports by webhook.\n\n| Code | Title | First known | How |\n| --- | --- | --- | --- |\n{rows}\n"
    )


def _sources(entries: Iterable[ErrorCode], sources: Mapping[str, str]) -> str:
    named = sorted({source for entry in entries for source in entry.sources})
    rows = "\n".join(f"- `{name}`: {sources[name]}" for name in named)
    return f"## Sources\n\n{rows}\n"
