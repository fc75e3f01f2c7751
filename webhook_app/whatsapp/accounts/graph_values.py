"""Reads single values of the Graph API's answers: what has another type is empty, -1 or None, never an exception."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from webhook_app.whatsapp.json_text import scrub

_MAX_TEXT = 512
_LARGE = 10**32  # no id has as many digits


def an_object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def a_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def a_text(value: Any, longest: int = _MAX_TEXT) -> str:
    if type(value) is int:
        return str(value) if abs(value) < _LARGE else ""
    return str(scrub(value[:longest])) if type(value) is str else ""


def a_word(value: Any) -> str:
    """The name of a value in capitals: Meta's sources disagree about its case."""
    return a_text(value).upper()


def a_number(value: Any) -> int:
    return value if type(value) is int and -1 < value < 2**31 else -1


def a_time(value: Any) -> datetime | None:
    return datetime.fromtimestamp(value, UTC) if type(value) is int and 0 < value < 2**33 else None
