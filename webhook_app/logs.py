"""Structured logs: JSON in production, readable in a terminal. Never phone numbers, message ids or secrets.

What gunicorn and other libraries say goes through here, too. A line of a request carries its request_id.
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
"""The request that is being answered; every line meanwhile carries it."""


def _with_request_id(_logger: object, _method: str, event: EventDict) -> EventDict:
    if request_id := REQUEST_ID.get():
        event["request_id"] = request_id
    return event


def configure(log_format: str) -> None:
    """Send every log line to standard error in the wanted format; `auto` is text on a terminal, else JSON."""
    structlog.configure(
        processors=[*_known(), structlog.processors.StackInfoRenderer(), *_rendered(log_format)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, _Others)]:
        root.removeHandler(handler)
    handler = _Others(sys.stderr)
    handler.setFormatter(line_formatter(log_format))
    root.addHandler(handler)


def line_formatter(log_format: str) -> logging.Formatter:
    """Makes lines like ours of what others log."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_known(),
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendered(log_format)],
    )


class _Others(logging.StreamHandler[TextIO]):
    """Where libraries' own log lines go."""


def _known() -> list[Processor]:
    """What every line says besides its event."""
    return [
        _with_request_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _rendered(log_format: str) -> list[Processor]:
    as_text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    renderer = console if as_text else structlog.processors.JSONRenderer()
    return [structlog.processors.ExceptionRenderer(_tell), _name_nobody, renderer]


def nameless(words: str) -> str:
    """The text without what may be a phone number, a user id or a message id."""
    return _PRIVATE.sub("…", words)


def _name_nobody(_logger: object, _method: str, line: EventDict) -> EventDict:
    """A `fault` is told in the words of somebody else: a channel may answer with what it was sent."""
    if isinstance(fault := line.get("fault"), str):
        line["fault"] = nameless(fault)
    return line


def _tell(exc_info: ExcInfo) -> str:
    """The traceback without local variables. Of each message only the first line: Postgres' others hold rows."""
    told = "".join(traceback.format_exception(*exc_info))
    each: BaseException | None = exc_info[1]
    seen = set[int]()
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        whole = str(each)
        told = told.replace(whole, whole.partition("\n")[0]) if "\n" in whole else told
        each = each.__cause__ or each.__context__
    return nameless(told).rstrip()


class RateLimitedLog:
    """Says the same thing at most once per kind in ten seconds, with how often it happened since it was last said.

    For what outsiders can cause as often as they like.
    """

    EVERY_S = 10.0

    def __init__(
        self, say: Callable[..., Any], event: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._say, self._event, self._clock = say, event, clock
        self._said: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def __call__(self, kind: str, **more: Any) -> None:
        now = self._clock()
        self._unsaid[kind] = self._unsaid.get(kind, 0) + 1
        if now - self._said.get(kind, -self.EVERY_S) >= self.EVERY_S:
            self._said[kind] = now
            self._say(self._event, kind=kind, count=self._unsaid.pop(kind), **more)
