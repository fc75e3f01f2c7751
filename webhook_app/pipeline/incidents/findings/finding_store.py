"""Where findings are read and written: the tables, or memory for a backtest."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, Protocol

from msgspec.structs import replace

from webhook_app.rules.incidents.findings.chronic import ChronicState, ChronicStates
from webhook_app.rules.incidents.findings.finding import FoundState
from webhook_app.store.incidents import findings
from webhook_app.store.incidents.findings import Finding
from webhook_app.store.incidents.incidents import Incident
from webhook_app.store.postgres.engine import Connection


class FindingStore(Protocol):
    """The findings during one search."""

    def open_findings(self) -> list[Finding]: ...
    def add_finding(self, found: FoundState, seen_at: datetime, now: datetime) -> tuple[int, bool]:
        """Store a state, or update its open finding; returns the id and whether it is new."""
        ...

    def update_finding(self, finding_id: int, seen_at: datetime, impact: dict[str, Any]) -> None: ...
    def fix_findings(self, ids: Collection[int], now: datetime) -> None: ...


class FindingTables:
    """The table, in the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def open_findings(self) -> list[Finding]:
        return findings.open_findings(self._connection)

    def add_finding(self, found: FoundState, seen_at: datetime, now: datetime) -> tuple[int, bool]:
        return findings.add(self._connection, found, seen_at, now)

    def update_finding(self, finding_id: int, seen_at: datetime, impact: dict[str, Any]) -> None:
        findings.update(self._connection, finding_id, seen_at, impact)

    def fix_findings(self, ids: Collection[int], now: datetime) -> None:
        findings.fix(self._connection, ids, now)


class FindingMemory:
    """Findings in memory, open and fixed."""

    def __init__(self) -> None:
        self.found: dict[int, Finding] = {}

    def open_findings(self) -> list[Finding]:
        return [each for each in self.found.values() if each.is_open]

    def add_finding(self, found: FoundState, seen_at: datetime, now: datetime) -> tuple[int, bool]:
        for known in self.open_findings():
            if (known.kind, known.key) == (found.kind, found.key):
                self.update_finding(known.id, seen_at, found.impact)
                return known.id, False
        values = {name: getattr(found, name) for name in found.__struct_fields__}
        stored = Finding(
            **values | {"codes": list(found.codes)},
            id=len(self.found) + 1,
            state="open",
            found_at=now,
            seen_at=seen_at,
            notified_at=None,
            fixed_at=None,
        )
        self.found[stored.id] = stored
        return stored.id, True

    def update_finding(self, finding_id: int, seen_at: datetime, impact: dict[str, Any]) -> None:
        known = self.found[finding_id]
        seen_at = max(known.seen_at, seen_at)
        self.found[finding_id] = replace(known, seen_at=seen_at, impact=known.impact | impact)

    def fix_findings(self, ids: Collection[int], now: datetime) -> None:
        for each in ids:
            self.found[each] = replace(self.found[each], state="fixed", fixed_at=now)


def chronic_states(found: Iterable[Finding], now: datetime) -> ChronicStates:
    """The open chronic findings, as the rules compare groups with them."""
    return ChronicStates([chronic_state(each) for each in found if each.kind == "chronic"], now)


def chronic_state(finding: Finding) -> ChronicState:
    """The part of a chronic finding that decisions need."""
    return ChronicState(
        codes=tuple(finding.codes),
        slice=finding.slice,
        waba_id=finding.waba_id,
        since=finding.since,
        is_reported=finding.is_reported,
    )


def incident_state(incident: Incident) -> ChronicState:
    """An open incident as the part that it may be about."""
    waba_ids = incident.names.get("waba_id", [])
    return ChronicState(
        codes=tuple(incident.codes),
        slice=incident.slice or {name: held for name, held in incident.names.items() if name != "waba_id"},
        waba_id=waba_ids[0] if len(waba_ids) == 1 else "",
        since=incident.began_at,
        is_reported=bool(incident.details.get("reporters")),
    )
