"""Makes the entries of answers from stored rows."""

from typing import Any, TypeVar

from msgspec import Struct

from webhook_app.whatsapp.events import NO_CODE

Entry = TypeVar("Entry", bound=Struct)


def entry_from(row: object, kind: type[Entry], /, **given: Any) -> Entry:
    """Return a `kind` with the values that the row holds under the same names, and the given ones."""
    copied = {name: getattr(row, name) for name in kind.__struct_fields__ if name not in given}
    return kind(**copied, **given)


def known_code(code: int) -> int | None:
    """Return the error code; None if there is none."""
    return None if code == NO_CODE else code
