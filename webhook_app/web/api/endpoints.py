"""One declaration per endpoint, from which both its Flask route and its part of the OpenAPI document are made.

The view's signature says what it takes: path parameters by name, `query` and `body` as Structs; its return type is the
answer, its docstring the description. No endpoint of its own stands here, and nothing of HTTP: that is web/api/routes.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import Struct

from webhook_app.pipeline.suppressions.checks import Checks
from webhook_app.settings import Settings
from webhook_app.store.operations.api_keys import ApiKey
from webhook_app.store.postgres.engine import Connection, Engine
from webhook_app.web.auth import Keyring, Role

Method = Literal["GET", "POST", "PUT", "DELETE"]


class Call(Struct, frozen=True, dict=True):
    """What every view gets beside its own parameters."""

    opened: Callable[[], Connection]
    """Takes a connection, whose transaction ends with the view."""
    now: datetime
    key: ApiKey
    settings: Settings
    checks: Checks
    headers: dict[str, str] = {}
    """Headers that the view adds to its answer."""

    @cached_property
    def connection(self) -> Connection:
        """Taken when it is first needed: a check may do without."""
        return self.opened()


Connect = Callable[[], AbstractContextManager[Connection]]


class Stream(Struct, frozen=True):
    """An answer that is not JSON, written while it is sent: `parts` gets a way to open transactions of its own."""

    media_type: str
    parts: Callable[[Connect], Iterator[bytes]]
    filename: str = ""
    """Under which name a browser saves it; empty: it is shown."""


class Endpoint(Struct, frozen=True, dict=True):
    """One call of the API. `errors`: the statuses it answers beside those that every call can."""

    method: Method
    path: str
    """As OpenAPI writes it: /v1/alerts/{id}."""
    view: Callable[..., Struct]
    role: Role
    errors: tuple[int, ...] = ()
    autocommit: bool = False
    """Each statement by itself: saves a busy call the round trips around a transaction."""
    conditional: bool = False
    """The view sets an ETag, and whoever has that answer already gets 304."""
    without_database: Callable[..., Struct | None] | None = None
    """Called with settings, now and the view's parameters while the database is away; None: 503 as everywhere."""
    streams: tuple[str, ...] = ()
    """The media types it may answer with beside JSON, or instead, when the view gives nothing but a Stream."""
    uploads: tuple[str, ...] = ()
    """Media types of a body that is taken whole, however large, and given to a streaming view as the file `upload`."""
    shapes: tuple[type[Struct], ...] = ()
    """What body or answer only refer to, because it is read item by item."""

    @property
    def name(self) -> str:
        return self.view.__name__

    @property
    def area(self) -> str:
        """What it is about: the name of the view's module."""
        return self.view.__module__.rpartition(".")[2]

    @property
    def is_audited(self) -> bool:
        """Whether it changes what people answer for."""
        return self.role == "admin" and self.method != "GET"

    @cached_property
    def path_parameters(self) -> dict[str, Any]:
        return {name: self._hints[name] for name in re.findall(r"\{(\w+)\}", self.path)}

    @cached_property
    def query(self) -> type[Struct] | None:
        return self._hints.get("query")

    @cached_property
    def query_fields(self) -> dict[str, Any]:
        """The types of its query parameters, by name."""
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
        """What it answers in JSON; None when it only streams."""
        kinds = get_args(self._hints["return"]) or (self._hints["return"],)
        return next((kind for kind in kinds if kind is not Stream), None)

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return get_type_hints(self.view, include_extras=True)

    @property
    def rule(self) -> str:
        """The path as Flask wants it; a text at the end may hold slashes, as message ids do."""
        rule = self.path
        for name, kind in self.path_parameters.items():
            text = "path" if rule.endswith(f"{{{name}}}") else "string"
            converter = "int(signed=True)" if plain(kind) is int else text
            rule = rule.replace(f"{{{name}}}", f"<{converter}:{name}>")
        return rule


class ApiContext(Struct, frozen=True):
    """What the API works with, made once by create_app."""

    engine: Engine
    lookups: Engine
    """For endpoints of a few statements that are always the same."""
    checks: Checks
    settings: Settings
    keyring: Keyring
    clock: Callable[[], datetime]


def plain(kind: Any) -> Any:
    """The type without its annotations."""
    return get_args(kind)[0] if hasattr(kind, "__metadata__") else kind
