"""Structured logs: JSON in production, readable in a terminal. Never phone numbers, message ids or secrets.

Lines of gunicorn and other libraries have the same form. A line logged during a request has its request_id.
"""

import logging
import re
import sys
import time
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor

_PRIVATE = re.compile(r"wamid\.[\w+/=:.-]+|\b[A-Z]{2}\.(?:ENT\.)?[0-9A-Za-z]{6,}|\d{7,}")


REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the current request, added to every log line."""


def _with_request_id(_logger: object, _method: str, event: EventDict) -> EventDict:
    if request_id := REQUEST_ID.get():
        event["request_id"] = request_id
    return event


def configure(log_format: str) -> None:
    """Send all log lines to standard error in this format; `auto` is text on a terminal, else JSON."""
    structlog.configure(
        processors=[*_standard_fields(), structlog.processors.StackInfoRenderer(), *_renderers(log_format)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, _LibraryLogHandler)]:
        root.removeHandler(handler)
    handler = _LibraryLogHandler(sys.stderr)
    handler.setFormatter(line_formatter(log_format))
    root.addHandler(handler)


def line_formatter(log_format: str) -> logging.Formatter:
    """The formatter that gives library log lines our form."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_standard_fields(),
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(log_format)],
    )


class _LibraryLogHandler(logging.StreamHandler[TextIO]):
    """The handler for log lines of libraries."""


def _standard_fields() -> list[Processor]:
    """The processors that add the fields of every line."""
    return [
        _with_request_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _renderers(log_format: str) -> list[Processor]:
    as_text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    renderer = console if as_text else structlog.processors.JSONRenderer()
    return [structlog.processors.ExceptionRenderer(_format_traceback), _mask_fault, renderer]


def mask_private(text: str) -> str:
    """Mask what may be a phone number, a user id or a message id."""
    return _PRIVATE.sub("…", text)


def _mask_fault(_logger: object, _method: str, line: EventDict) -> EventDict:
    """Mask the `fault` of a line: it is external text, and a channel may echo what it was sent."""
    if isinstance(fault := line.get("fault"), str):
        line["fault"] = mask_private(fault)
    return line


def _format_traceback(exc_info: ExcInfo) -> str:
    """The masked traceback without local variables. Only each message's first line: Postgres' others hold rows."""
    lines = "".join(traceback.format_exception(*exc_info))
    each: BaseException | None = exc_info[1]
    seen = set[int]()
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        message = str(each)
        lines = lines.replace(message, message.partition("\n")[0]) if "\n" in message else lines
        each = each.__cause__ or each.__context__
    return mask_private(lines).rstrip()


class RateLimitedLog:
    """Logs an event at most once per kind in ten seconds, with the number of occurrences since the last line.

    For events that outsiders can cause at any rate.
    """

    EVERY_S = 10.0

    def __init__(
        self, log: Callable[..., Any], event: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log, self._event, self._clock = log, event, clock
        self._logged_at: dict[str, float] = {}
        self._unlogged: dict[str, int] = {}

    def __call__(self, kind: str, **more: Any) -> None:
        now = self._clock()
        self._unlogged[kind] = self._unlogged.get(kind, 0) + 1
        if now - self._logged_at.get(kind, -self.EVERY_S) >= self.EVERY_S:
            self._logged_at[kind] = now
            self._log(self._event, kind=kind, count=self._unlogged.pop(kind), **more)
