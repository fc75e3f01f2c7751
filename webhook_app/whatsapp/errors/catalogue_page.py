"""The catalogue of error codes as a page to read: Markdown, made from the same rows that the service works with.

`webhook-app codes` prints it; docs/error-codes.md is that output. No knowledge about any code stands here.
"""

from collections.abc import Iterable, Mapping, Sequence

from webhook_app.whatsapp.errors.catalogue import Domain, ErrorCode, FailureClass
from webhook_app.whatsapp.errors.retry import retry_advice

_DOMAINS: Mapping[Domain, str] = {
    "recipient": "Recipient: the person cannot get the message",
    "consent": "Consent: Meta chose not to deliver, or the person does not want it",
    "template": "Template",
    "media": "Media",
    "sender_config": "What was sent, and how the sender is set up",
    "auth": "Token and permissions",
    "account": "Account",
    "policy": "Policy",
    "rate_limit": "Limits",
    "platform": "Meta's side",
    "registration": "Registering numbers",
    "groups": "Groups",
    "calling": "Calling",
    "other": "Other",
}

_CLASSES: Mapping[FailureClass, str] = {
    "broken": "something is to be mended, by you or by Meta",
    "withheld": "Meta chose not to deliver marketing; kept out of the failure rate",
    "unreachable": "the person could not get it",
}

_INTRO = """\
# Error codes

What each of Meta's error codes means, what to do about it, and what it says about the person written to.
`GET /v1/codes/{{code}}` (or `/v1/codes/{{code}}/{{subcode}}`) answers the same with your own counts, and
`webhook-app codes 190 463` in a terminal.

This page is made by `make docs` from `webhook_app/whatsapp/errors/error_codes.csv` and the files beside it: mend those.
It holds {count} entries.

**How a code is looked up**: code and subcode together, then the code, then a range that holds it (200-299), then
*unknown*: that is explained as domain `other`, never counts against a contact and is not to be sent again.
Go by the code. Meta is withdrawing titles, drops subcodes from newer versions, and the HTTP status is no guide.

**Class** decides which rate a failure counts in: {classes}.

**Retry**: `no`; `after_fix`, when the cause is mended; `once`, after a minute; `backoff`, after
{backoff} s with jitter; `after_window`, when a limit or a pause of Meta's is over.

**Contact** says what a failure means for the contact: `none`; `soft`, counts towards a suppression; `hard`,
suppresses at once; `marketing_only`, stops marketing alone.

**Attention**: `page`, the first one matters; `watch`, worth a look; `none`, part of the business.

**Confidence**: `high`, Meta says so and others agree; `medium`, one good source; `low`, reports from the field or
sources that disagree. A title in *italics* is ours, because Meta gives none.
"""

_HEAD = (
    "| Code | Title | Retry | Contact | Attention | What it means | What to do | Confidence |\n"
    + "| --- " * 8
    + "|"
)


def page(entries: Sequence[ErrorCode], sources: Mapping[str, str]) -> str:
    """The whole page."""
    by_domain = {domain: [e for e in entries if e.domain == domain] for domain in _DOMAINS}
    waits = retry_advice(next(e for e in entries if e.retry == "backoff")).waits_seconds
    parts = [
        _INTRO.format(
            count=len(entries),
            classes="; ".join(f"`{name}`, {words}" for name, words in _CLASSES.items()),
            backoff=", ".join(map(str, waits)),
        ),
        _misread(entries),
        *(_section(domain, held) for domain, held in by_domain.items() if held),
        _sources(entries, sources),
    ]
    return "\n".join(parts)


def entry_text(entry: ErrorCode) -> str:
    """One entry for a terminal."""
    place = f"{name_of(entry)}  {entry.title}" + ("" if entry.official_title else "  (our title)")
    lines = [
        place,
        f"  {entry.summary}",
        f"  Whose trouble: {entry.domain}, class {entry.failure_class}. Effect on the contact: {entry.contact_effect}.",
        f"  {retry_advice(entry).words}",
        *([f"  Often misread: {entry.mistaken_for}"] if entry.mistaken_for else []),
        f"  Confidence {entry.confidence}"
        + (f", from {', '.join(entry.sources)}." if entry.sources else "."),
    ]
    return "\n".join(lines)


def name_of(entry: ErrorCode) -> str:
    """How the entry is written: 131026, 190/463 or 200-299."""
    if entry.subcode is not None:
        return f"{entry.code}/{entry.subcode}"
    return str(entry.code) if entry.code == entry.code_to else f"{entry.code}-{entry.code_to}"


def _section(domain: Domain, entries: Iterable[ErrorCode]) -> str:
    rows = "\n".join(map(_row, entries))
    return f"\n## {_DOMAINS[domain]}\n\nDomain `{domain}`.\n\n{_HEAD}\n{rows}\n"


def _row(entry: ErrorCode) -> str:
    title = entry.title if entry.official_title else f"*{entry.title}*"
    where = f"{entry.confidence}: {', '.join(entry.sources)}"
    cells = (
        f"**{name_of(entry)}**",
        title,
        entry.retry,
        entry.contact_effect,
        entry.attention,
        entry.summary,
        entry.action,
        where,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _misread(entries: Iterable[ErrorCode]) -> str:
    rows = "\n".join(
        f"- **{name_of(e)}** {e.title.rstrip('.')}. {e.mistaken_for}" for e in entries if e.mistaken_for
    )
    return (
        f"\n## Often misread\n\nWhat public guides and other lists get wrong, and what is right.\n\n{rows}\n"
    )


def _sources(entries: Iterable[ErrorCode], sources: Mapping[str, str]) -> str:
    named = sorted({source for entry in entries for source in entry.sources})
    rows = "\n".join(f"- `{name}`: {sources[name]}" for name in named)
    return f"\n## Sources\n\n{rows}\n"
