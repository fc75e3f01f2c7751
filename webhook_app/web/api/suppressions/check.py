"""/v1/check: may these contacts be written to? What sending systems ask before every message."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Annotated

import msgspec
import prometheus_client
from msgspec import Meta, Struct
from msgspec.structs import replace

from webhook_app.rules.incidents.pauses import pauses
from webhook_app.settings import Settings
from webhook_app.store.incidents import alerts
from webhook_app.store.suppressions import checks
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.suppressions import verdict
from webhook_app.web.api.suppressions.verdict import CheckResult, CheckTerms, ProbeCandidate
from webhook_app.web.api.values import Contact, PhoneNumberId, Time, Word
from webhook_app.web.errors import ApiError
from webhook_app.whatsapp.people.contacts import Address, InvalidAddress, parse_address
from webhook_app.whatsapp.people.numbering import is_region

MAX_CONTACTS = 10_000

Category = Annotated[
    Word,
    Meta(
        description="marketing, utility, authentication or service; absent or unknown is judged as marketing."
    ),
]
_Number = Annotated[
    PhoneNumberId,
    Meta(description="The business number that is to send; absent: judged for all of them at once."),
]
_Region = Annotated[
    str,
    Meta(
        pattern="^[A-Za-z]{2}$",
        description="Country (ISO 3166, two letters) in which numbers without country code are dialled;"
        " absent: DEFAULT_REGION.",
    ),
]
_Probing = Annotated[
    bool,
    Meta(
        description="false: only looking. Nothing is claimed; what has run out and waits for a probe is `send`."
    ),
]


class CheckBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """Whom a message is to go to, from which number and of which category."""

    contacts: Annotated[list[Contact], Meta(max_length=MAX_CONTACTS)]
    phone_number_id: _Number | None = None
    category: Category | None = None
    region: _Region | None = None
    probe: _Probing = True


class CheckQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    phone_number_id: _Number | None = None
    category: Category | None = None
    region: _Region | None = None
    probe: _Probing = True


class CheckSummary(Struct):
    """How many contacts got which verdict."""

    send: int
    suppressed: int
    wait: int
    invalid: int


class CheckAnswer(Struct, kw_only=True):
    """The results in the order asked. `version`: the latest change in the feed that they take into account."""

    as_of: Time
    version: Annotated[
        int | None, Meta(description="null: the database is away and CHECK_WHEN_AWAY lets through.")
    ]
    results: list[CheckResult]
    summary: CheckSummary


_Asked = CheckBody | CheckQuery

CHECKED = prometheus_client.Counter(
    "webhook_app_checked_contacts", "Contacts that senders asked about, by verdict", ["verdict"]
)


def check_contacts(call: Call, body: CheckBody) -> CheckAnswer:
    """May these contacts be written to? Up to 10 000 at once, answered in the order asked.

    Without a category they are judged as for marketing, the strictest. Without a phone_number_id what holds for any
    business number counts. The version, which is also the ETag, is the latest change of /v1/changes in the answer.
    While the database is away the answer is 503, or with CHECK_WHEN_AWAY=allow `send` without a version.
    """
    version, results = _judge(call, body.contacts, body)
    call.headers["ETag"] = f'"{version}"'
    return _answer(call.now, version, results)


def check_contact(call: Call, contact: Contact, query: CheckQuery) -> CheckResult:
    """May this contact be written to? One result of POST /v1/check.

    The ETag is the answer's own: with If-None-Match the same answer is 304, `retry_after` aside.
    """
    _, (result,) = _judge(call, [contact], query)
    CHECKED.labels(result.verdict).inc()
    same = result if result.retry_after is None else replace(result, retry_after=None)
    call.headers["ETag"] = f'"{sha256(msgspec.json.encode(same)).hexdigest()[:20]}"'
    return result


def _without_database_many(settings: Settings, now: datetime, body: CheckBody) -> CheckAnswer | None:
    if settings.check_when_away != "allow":
        return None
    return _answer(now, None, _unchecked(settings, body.contacts, body))


def _without_database_one(
    settings: Settings, _now: datetime, contact: str, query: CheckQuery
) -> CheckResult | None:
    if settings.check_when_away != "allow":
        return None
    return _unchecked(settings, [contact], query)[0]


def _unchecked(settings: Settings, contacts: Sequence[str], asked: _Asked) -> list[CheckResult]:
    addresses = [parse_address(text, _region(asked, settings)) for text in contacts]
    return [
        verdict.free(each, window_open=False) if isinstance(each, Address) else verdict.invalid(each)
        for each in addresses
    ]


def _answer(now: datetime, version: int | None, results: list[CheckResult]) -> CheckAnswer:
    counts = Counter([result.verdict for result in results])
    for name, contacts in counts.items():
        CHECKED.labels(name).inc(contacts)
    summary = CheckSummary(counts["send"], counts["suppressed"], counts["wait"], counts["invalid"])
    return CheckAnswer(as_of=now, version=version, results=results, summary=summary)


def _judge(call: Call, contacts: Sequence[str], asked: _Asked) -> tuple[int, list[CheckResult]]:
    region = _region(asked, call.settings)
    addresses = [parse_address(text, region) for text in contacts]
    keys = list(dict.fromkeys(each.key for each in addresses if isinstance(each, Address)))
    known = call.checks.known(checks.CheckRequest(keys, asked.phone_number_id))
    terms = _terms(call, asked)
    found = [
        verdict.invalid(each)
        if isinstance(each, InvalidAddress)
        else verdict.judge(each, known.standing.get(each.key, ()), each.key in known.wrote, terms)
        for each in addresses
    ]
    return known.version, _let_probes_through(call, found, terms, claim=asked.probe)


def _terms(call: Call, asked: _Asked) -> CheckTerms:
    pause = None
    if call.settings.pause_senders == "on":
        stopping = pauses(alerts.open_alerts(call.connection), asked.phone_number_id)
        pause = stopping[0] if stopping else None
    return CheckTerms(asked.category, call.settings.stop_blocks == "all", call.now, pause)


def _let_probes_through(
    call: Call, found: Sequence[CheckResult | ProbeCandidate], terms: CheckTerms, *, claim: bool
) -> list[CheckResult]:
    """Of those who ask about one half-open contact the first may send, once in a request as well."""
    until = call.now + timedelta(hours=call.settings.probe_hours)
    probes = {each.row.key for each in found if isinstance(each, ProbeCandidate)}
    mine = probes
    if claim and probes:
        mine = checks.claim_probes(call.connection, list(probes), until, call.now)
    results = []
    for each in found:
        if isinstance(each, ProbeCandidate):
            results.append(verdict.claimed(each, mine, until, terms))
            mine.discard(each.row.key) if claim else None
        else:
            results.append(each)
    return results


def _region(asked: _Asked, settings: Settings) -> str:
    region = (asked.region or settings.default_region).upper()
    if region and not is_region(region):
        raise ApiError(400, "bad_region", f"region: there is no numbering plan of {region}.")
    return region


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/check",
        check_contacts,
        "sender",
        autocommit=True,
        without_database=_without_database_many,
    ),
    Endpoint(
        "GET",
        "/v1/check/{contact}",
        check_contact,
        "sender",
        autocommit=True,
        conditional=True,
        without_database=_without_database_one,
    ),
)
DIRECT = ENDPOINTS[1:]
"""Asked for before every message: answered without Flask's request."""
