"""Decides whether a person consents to messages, from every statement they made. The newest statement counts.

The order in which statements become known does not matter.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from msgspec import Struct

_RANK = {"code": 0, "operator": 1, "resume": 1, "start": 1, "stored": 2, "stop": 3}


class ConsentStatement(Struct, frozen=True):
    """One statement for or against messages.

    kind: stop, resume and start come from the person; code is a message that Meta refused because the person had
    stopped; operator is a suppression lifted by hand; stored is an active opt-out whose cause is no longer stored.
    """

    occurred_at: datetime
    kind: Literal["stop", "resume", "start", "code", "operator", "stored"]
    message_id: str = ""

    @property
    def is_opt_out(self) -> bool:
        return self.kind in ("stop", "code", "stored")


def newest(statements: Iterable[ConsentStatement]) -> ConsentStatement | None:
    """The statement that counts, or None when there is none.

    Within one second the person's stop wins. A refused message loses: it may have been sent before the resume.
    """
    return max(
        statements, key=lambda each: (each.occurred_at, _RANK[each.kind], each.message_id), default=None
    )
