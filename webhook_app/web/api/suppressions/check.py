"""/v1/check: whether these contacts may be messaged. Sending systems ask before every message."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Annotated

import msgspec
import prometheus_client
from msgspec import Meta, Struct
from msgspec.structs import replace

from webhook_app.pipeline.suppressions.checks.probe_claims import resolve_probes
from webhook_app.rules.suppressions.blocking import BY_PEOPLE, asks_for_replies
from webhook_app.rules.suppressions.verdict import SEND, CheckTerms, Verdict, decide
from webhook_app.settings import Settings
from webhook_app.store.people.stored_keys import stored_keys
from webhook_app.store.suppressions.checks import CheckFacts, CheckRequest, ContactSuppression
from webhook_app.store.suppressions.conversation_owners import LastHandover
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.incidents.pause import pauses_of
from webhook_app.web.api.people.addresses import parse_addresses
from webhook_app.web.api.suppressions.check_results import (
    CheckResult,
    ConversationOwner,
    invalid_result,
    result_of,
)
from webhook_app.web.api.values import Contact, PhoneNumberId, Time, Word
from webhook_app.web.errors import ApiError
from webhook_app.whatsapp.people.contacts import Address, InvalidAddress, hints, if_stored
from webhook_app.whatsapp.people.numbering import is_region

MAX_CONTACTS = 10_000

Category = Annotated[
    Word,
    Meta(
        description="marketing, utility, authentication or service; missing or unknown counts as marketing."
    ),
]
_Number = Annotated[
    PhoneNumberId,
    Meta(description="The business number that sends; without one, suppressions of any number count."),
]
_Region = Annotated[
    str,
    Meta(
        pattern="^[A-Za-z]{2}$",
        description="Country (ISO 3166, two letters) of numbers without a country code; default: DEFAULT_REGION.",
    ),
]
_Probing = Annotated[
    bool,
    Meta(description="false: claim no probe; an expired suppression that waits for its probe is `send`."),
]


class CheckBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """The contacts to message, from which number and in which category."""

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
    """The number of contacts with each verdict."""

    send: int
    suppressed: int
    wait: int
    invalid: int


class CheckAnswer(Struct, kw_only=True):
    """The results in the order asked. `version`: the latest change of the feed that they include."""

    as_of: Time
    version: Annotated[
        int | None, Meta(description="null: the database is unavailable and CHECK_WHEN_AWAY allows sending.")
    ]
    results: list[CheckResult]
    summary: CheckSummary


_Query = CheckBody | CheckQuery

CHECKED = prometheus_client.Counter(
    "webhook_app_checked_contacts", "Contacts that senders asked about, by verdict", ["verdict"]
)
_checked = lru_cache(CHECKED.labels)


def check_contacts(call: Call, body: CheckBody) -> CheckAnswer:
    """Check whether up to 10 000 contacts may be messaged; the results come in the order given.

    Without a category the message counts as marketing, the strictest. Without a phone_number_id, suppressions of any
    business number count. The version, which is also the ETag, is the latest change of /v1/changes in the answer.
    While the database is unavailable the answer is 503, or with CHECK_WHEN_AWAY=allow `send` without a version.
    """
    version, results = check_all(call, body.contacts, body)
    call.headers["ETag"] = f'"{version}"'
    return _answer(call.now, version, results)


def check_contact(call: Call, contact: Contact, query: CheckQuery) -> CheckResult:
    """Check whether one contact may be messaged: one result of POST /v1/check.

    The ETag identifies this answer: with If-None-Match an unchanged answer is 304, `retry_after` aside.
    """
    _, (result,) = check_all(call, [contact], query)
    _checked(result.verdict).inc()
    stable = result if result.retry_after is None else replace(result, retry_after=None)
    call.headers["ETag"] = f'"{sha256(msgspec.json.encode(stable)).hexdigest()[:20]}"'
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


def _unchecked(settings: Settings, contacts: Sequence[str], query: _Query) -> list[CheckResult]:
    addresses = parse_addresses(contacts, _region(query, settings))
    return _results(addresses, [SEND] * len(addresses), set())


def _answer(now: datetime, version: int | None, results: list[CheckResult]) -> CheckAnswer:
    counts = Counter([result.verdict for result in results])
    for name, contacts in counts.items():
        _checked(name).inc(contacts)
    summary = CheckSummary(counts["send"], counts["suppressed"], counts["wait"], counts["invalid"])
    return CheckAnswer(as_of=now, version=version, results=results, summary=summary)


def check_all(call: Call, contacts: Sequence[str], query: _Query) -> tuple[int, list[CheckResult]]:
    """Return the latest change of the feed that the results include, and the result of each contact."""
    region = _region(query, call.settings)
    addresses = parse_addresses(contacts, region)
    keys = _keys_to_check(addresses)
    aliases = call.checks.aliases.of(lambda: call.connection, call.key.name, keys, call.now)
    asked = list(dict.fromkeys((*keys, *aliases.values()))) if aliases else keys
    facts = call.checks.facts(CheckRequest(asked, query.phone_number_id))
    for key, contact in aliases.items():
        facts.suppressions[key] = [*facts.suppressions.get(key, ()), *facts.suppressions.get(contact, ())]
    if literals := {each.literal for each in addresses if each.literal}:
        stored = stored_keys(call.connection, literals) | aliases.keys()
        addresses = [if_stored(each, stored) for each in addresses]
    terms = _terms(call, query)
    verdicts = _verdicts(addresses, facts, terms)
    probe_period = timedelta(hours=call.settings.probe_hours)
    claim = query.probe and call.key.role != "viewer"  # who only reads takes no probe from those who send
    resolve_probes(verdicts, lambda: call.connection, call.now, probe_period, claim=claim)
    results = _results(addresses, verdicts, facts.wrote)
    if facts.owners:
        _add_owners(results, addresses, facts.owners)
    return facts.version, results


def _verdicts(
    addresses: Iterable[Address | InvalidAddress], facts: CheckFacts, terms: CheckTerms
) -> list[Verdict | None]:
    """The verdict on each contact, None for an invalid one. Most have no suppression, and all of these the same."""
    free = decide((), False, terms)
    return [
        None
        if isinstance(each, InvalidAddress)
        else decide(rows, asks_for_replies(rows, facts.wrote.get(each.key)), terms)
        if facts.suppressions and (rows := _suppressions_of(each.key, facts))
        else free
        for each in addresses
    ]


def _keys_to_check(addresses: Iterable[Address | InvalidAddress]) -> list[str]:
    """The keys of the contacts, those that may be the same line, and those that count only if they are stored."""
    keys: dict[str, None] = {}
    for each in addresses:
        if isinstance(each, Address):
            keys[each.key] = None
            keys |= dict.fromkeys(hints(each.key))
        if each.literal:
            keys[each.literal] = None
    return list(keys)


def _suppressions_of(key: str, facts: CheckFacts) -> Sequence[ContactSuppression]:
    """The suppressions of a contact; those by people also under numbers that may be the same line."""
    found = facts.suppressions.get(key, ())
    hinted = [
        row for hint in hints(key) for row in facts.suppressions.get(hint, ()) if row.reason in BY_PEOPLE
    ]
    return [*found, *hinted] if hinted else found


def _results(
    addresses: Sequence[Address | InvalidAddress], verdicts: Sequence[Verdict | None], wrote: Container[str]
) -> list[CheckResult]:
    return [
        invalid_result(address)
        if isinstance(address, InvalidAddress)
        else result_of(address, verdict or SEND, window_open=address.key in wrote)
        for address, verdict in zip(addresses, verdicts, strict=True)
    ]


def _add_owners(
    results: Iterable[CheckResult],
    addresses: Iterable[Address | InvalidAddress],
    owners: Mapping[str, LastHandover],
) -> None:
    for result, address in zip(results, addresses, strict=True):
        if isinstance(address, Address) and (last := owners.get(address.key)):
            result.conversation_owner = ConversationOwner(last.is_ours, last.role or None, last.at)


def _terms(call: Call, query: _Query) -> CheckTerms:
    pause = None
    if call.settings.pause_senders == "on":
        pause = next(pauses_of(call, query.phone_number_id), None)
    shadow = call.settings.suppress == "shadow"
    return CheckTerms(query.category, call.settings.stop_blocks == "all", call.now, pause, shadow)


def _region(query: _Query, settings: Settings) -> str:
    region = (query.region or settings.default_region).upper()
    if region and not is_region(region):
        raise ApiError(400, "bad_region", f"region: {region} has no numbering plan.")
    return region


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/check",
        check_contacts,
        "sender",
        only_asks=True,
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
"""Asked before every message: answered without Flask's request."""
