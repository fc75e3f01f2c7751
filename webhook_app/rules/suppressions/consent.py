"""Whether a person wants to be written to: everything they said about it in, the word that counts out.

The newest word counts, in whatever order they became known.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from msgspec import Struct

_RANK = {"code": 0, "operator": 1, "resume": 1, "start": 1, "standing": 2, "stop": 3}


class ConsentStatement(Struct, frozen=True):
    """One word for or against.

    said: stop, resume and start are the person's own; code is Meta refusing a message because they stopped;
    operator is somebody lifting the suppression; standing is one in force whose cause is no longer stored.
    """

    occurred_at: datetime
    said: Literal["stop", "resume", "start", "code", "operator", "standing"]
    message_id: str = ""

    @property
    def against(self) -> bool:
        return self.said in ("stop", "code", "standing")


def newest(wishes: Iterable[ConsentStatement]) -> ConsentStatement | None:
    """The word that counts, None when nothing was ever said.

    Of one second the person's stop comes first; a message refused then may have been sent before they resumed.
    """
    return max(wishes, key=lambda wish: (wish.occurred_at, _RANK[wish.said], wish.message_id), default=None)
