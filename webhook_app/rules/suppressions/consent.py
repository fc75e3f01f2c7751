"""Decides whether a person consents to messages, from every statement they made. Of each source, the newest counts.

The order in which statements become known does not matter.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct

Source = Literal["chat", "settings"]
"""chat: words and buttons of a conversation. settings: what the person chose in WhatsApp, which a START leaves."""

_RANK = {"code": 0, "operator": 1, "resume": 1, "start": 1, "stored": 2} | dict.fromkeys(
    ("stop", "stop_marketing", "ambiguous"), 3
)
_LIFTED: dict[str, tuple[Source, ...]] = {
    "start": ("chat",),
    "resume": ("chat", "settings"),
    "operator": ("chat", "settings"),
}


class ConsentStatement(Struct, frozen=True):
    """One statement for or against messages.

    kind: code is a message that Meta refused because the person had stopped; operator is a suppression lifted by hand;
    stored is an active opt-out whose cause is no longer stored; the other kinds come from the person.
    """

    occurred_at: datetime
    kind: Literal[
        "stop", "stop_marketing", "ambiguous", "resume", "start", "code", "operator", "stored"
    ]  # fmt: skip
    message_id: str = ""
    source: Source = "chat"
    contact: str = ""
    """The key under which it was made."""

    @property
    def is_opt_out(self) -> bool:
        return self.kind not in _LIFTED

    @property
    def is_ambiguous(self) -> bool:
        return self.kind == "ambiguous"


def opt_outs(statements: Sequence[ConsentStatement]) -> list[ConsentStatement]:
    """The opt-outs in force, at most one of each source, oldest first. Empty: the person consents.

    Of each source it is the newest clear one since the last lift, or else the newest ambiguous one. Within one second
    the person's stop wins. A refused message loses: it may have been sent before the resume.
    """
    found = []
    for source in ("chat", "settings"):
        lifts = [each for each in statements if source in _LIFTED.get(each.kind, ())]
        last = max(map(_order, lifts), default=None)
        active = [
            each
            for each in statements
            if each.is_opt_out and each.source == source and (last is None or _order(each) > last)
        ]
        clear = [each for each in active if not each.is_ambiguous]
        found += sorted(clear or active, key=_order)[-1:]
    return sorted(found, key=_order)


def newest(statements: Iterable[ConsentStatement]) -> ConsentStatement | None:
    """The newest statement, or None when there is none."""
    return max(statements, key=_order, default=None)


def _order(statement: ConsentStatement) -> tuple[datetime, int, str]:
    return statement.occurred_at, _RANK[statement.kind], statement.message_id
