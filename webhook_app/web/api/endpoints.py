"""The declaration of an endpoint, from which its Flask route and its part of the OpenAPI document are made.

The signature of the view declares its input: path parameters by name, `query` and `body` as Structs. Its return type
is the answer, its docstring the description. HTTP is handled in web/api/routes.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from functools import cached_property
from typing import IO, Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import Struct, field

from webhook_app.pipeline.suppressions.checks.checks import Checks
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.settings import Settings
from webhook_app.store.operations.api_keys import ApiKey
from webhook_app.store.postgres.engine import Connection, Engine
from webhook_app.web.auth import Keyring, Role
from webhook_app.web.slow_reads import SlowReads

Method = Literal["GET", "POST", "PUT", "DELETE"]


class Call(Struct, frozen=True, dict=True):
    """The first argument of every view: the caller's key, the time, and access to the database."""

    open_connection: Callable[[], Connection]
    """Takes a connection from the pool; its transaction ends with the view."""
    now: datetime
    key: ApiKey
    settings: Settings
    checks: Checks
    headers: dict[str, str] = {}
    """Headers the view adds to its answer."""
    slow: SlowReads = field(default_factory=SlowReads)

    @cached_property
    def connection(self) -> Connection:
        """The connection, taken on first use: some checks need none."""
        return self.open_connection()

    @property
    def thresholds(self) -> Thresholds:
        """After how many failures on how many days a contact is suppressed."""
        return Thresholds(failures=self.settings.soft_failures, days=self.settings.soft_days)


Connect = Callable[[], AbstractContextManager[Connection]]


class Stream(Struct, frozen=True):
    """An answer other than JSON, generated while it is sent. `parts` is called with a way to open transactions."""

    media_type: str
    parts: Callable[[Connect], Iterator[bytes]]
    filename: str = ""
    """The file name for browsers; empty: the answer is displayed."""


class Upload(Struct, frozen=True):
    """A large body, stored in a file, and its content type."""

    file: IO[bytes]
    media_type: str


class Endpoint(Struct, frozen=True, dict=True):
    """One endpoint of the API. `errors` lists its statuses beyond those of every endpoint."""

    method: Method
    path: str
    """In OpenAPI's notation, such as /v1/alerts/{id}."""
    view: Callable[..., Struct]
    role: Role
    errors: tuple[int, ...] = ()
    only_asks: bool = False
    """Changes nothing although it has a body: a viewer may call it."""
    autocommit: bool = False
    """Run each statement in its own transaction, to save a busy endpoint two round trips."""
    conditional: bool = False
    """The view sets an ETag; a client that already has that answer gets 304."""
    without_database: Callable[..., Struct | None] | None = None
    """Called with settings, now and the view's arguments while the database is down. None: the answer is 503."""
    streams: tuple[str, ...] = ()
    """Media types it may answer with in addition to JSON, or instead of it if the view returns only a Stream."""
    uploads: tuple[str, ...] = ()
    """Media types of a large body, stored first and passed to a streaming view as the file `upload`."""
    shapes: tuple[type[Struct], ...] = ()
    """Types to document that body or answer mention only by name, because they are read item by item."""

    @property
    def name(self) -> str:
        return self.view.__name__

    @property
    def area(self) -> str:
        """The subject of the endpoint: the name of the view's module."""
        return self.view.__module__.rpartition(".")[2]

    @property
    def changes(self) -> bool:
        """Whether it is for more than reading, so that it refuses viewers."""
        return self.method != "GET" and not self.only_asks

    @property
    def is_audited(self) -> bool:
        """Whether calls are recorded in the audit log."""
        return self.role == "admin" and self.method != "GET"

    @cached_property
    def path_parameters(self) -> dict[str, Any]:
        return {name: self._hints[name] for name in re.findall(r"\{(\w+)\}", self.path)}

    @cached_property
    def query(self) -> type[Struct] | None:
        return self._hints.get("query")

    @cached_property
    def query_fields(self) -> dict[str, Any]:
        """The types of the query parameters by name."""
        return (
            {field.encode_name: field.type for field in msgspec.structs.fields(self.query)}
            if self.query
            else {}
        )

    @cached_property
    def body(self) -> type[Struct] | None:
        return self._hints.get("body")

    @cached_property
    def answer(self) -> type[Struct] | None:
        """The type of its JSON answer; None when it only streams."""
        kinds = get_args(self._hints["return"]) or (self._hints["return"],)
        return next((kind for kind in kinds if kind is not Stream), None)

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return get_type_hints(self.view, include_extras=True)

    @property
    def rule(self) -> str:
        """The path in Flask's notation. A text at the end may contain slashes, as message ids do."""
        rule = self.path
        for name, kind in self.path_parameters.items():
            text = "path" if rule.endswith(f"{{{name}}}") else "string"
            converter = "int(signed=True)" if plain(kind) is int else text
            rule = rule.replace(f"{{{name}}}", f"<{converter}:{name}>")
        return rule


class ApiContext(Struct, frozen=True):
    """The connections, settings and keys that the API uses; made once by create_app."""

    engine: Engine
    lookups: Engine
    """For endpoints with a few statements that never vary."""
    checks: Checks
    settings: Settings
    keyring: Keyring
    clock: Callable[[], datetime]
    slow: SlowReads = field(default_factory=SlowReads)


def plain(kind: Any) -> Any:
    """Return the type without its annotations."""
    return get_args(kind)[0] if hasattr(kind, "__metadata__") else kind
