"""Page: the declaration from which a route is made; what its view receives, and the ways it can answer.

The view's name is the page's name; path parameters are its keyword arguments. routes.py serves the declarations.
"""

from collections.abc import Callable, Hashable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

from flask import Request, Response, jsonify, make_response, redirect, render_template
from msgspec import Struct, ValidationError, convert, field, to_builtins
from werkzeug.datastructures import MultiDict

from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.settings import Settings
from webhook_app.store.accounts.numbers import all_names
from webhook_app.store.postgres.engine import Connection
from webhook_app.web.api import cursor
from webhook_app.web.api.endpoints import ApiContext, Call
from webhook_app.web.errors import ApiError
from webhook_app.web.pages.charts import Chart
from webhook_app.web.pages.operations.sessions import (
    PageMessage,
    Session,
    Sessions,
    clear_message,
    leave_message,
    read_message,
)

MAX_FORM_BYTES = 64 * 1024
PUBLIC_FORM_BYTES = 8 * 1024
"""A key, a token, and the address of a page, which a form encodes again."""
PUBLIC_FORM_FIELDS = 10
SCRIPT_PATHS = "/dashboard/"
"""Where scripts read: errors below it are JSON."""
STALE_FORM = "This form is out of date. Go back, reload the page and try again."

_MOST_KEPT = 500
_NAMES = "names of numbers and accounts"
_NAMES_FOR = timedelta(minutes=1)

Cache = TypeVar("Cache")
Value = TypeVar("Value")
Answer = Response | Callable[[], Response]
"""What a view returns: the response, or a function that takes connections of its own to make it.

It is called after the view's transaction: requests that hold one pooled connection while they wait for another can
block each other."""


class Page(Struct, frozen=True):
    """One page or form. GET needs a session; POST needs an admin's session and the token of one of our forms."""

    method: Literal["GET", "POST"]
    path: str
    view: Callable[..., Answer]
    max_form_bytes: int = MAX_FORM_BYTES
    is_public: bool = False
    """Needs no session: the view gets a PublicRequest, without a transaction."""


class PageContext(Struct, frozen=True):
    """What all pages of one application share."""

    api: ApiContext
    sessions: Sessions
    rules: Mapping[str, Rule]
    caches: dict[type, Any] = field(default_factory=dict)
    kept: dict[Hashable, tuple[datetime, Any]] = field(default_factory=dict)
    """Values for `PageRequest.keep`, each with the end of its time."""

    def cache(self, kind: type[Cache]) -> Cache:
        """The application's one instance of this class, made on first use."""
        if kind not in self.caches:
            self.caches[kind] = kind()
        found: Cache = self.caches[kind]
        return found


class PublicRequest(Struct, frozen=True):
    """A request that needs no session."""

    http: Request
    now: datetime
    context: PageContext

    @property
    def args(self) -> MultiDict[str, str]:
        """The parameters of the query."""
        return self.http.args

    @property
    def form(self) -> MultiDict[str, str]:
        """The fields of the form."""
        return self.http.form

    @property
    def settings(self) -> Settings:
        return self.context.api.settings

    @property
    def rules(self) -> Mapping[str, Rule]:
        """The alert rules in force, by name."""
        return self.context.rules


class PageRequest(PublicRequest, frozen=True):
    """A request with a session. The transaction of `connection` ends with the view."""

    connection: Connection
    session: Session

    @property
    def actor(self) -> str:
        """The name of the key, for the audit log and other users."""
        return self.session.key.name

    @property
    def call(self) -> Call:
        """The request as a call of the API, for pages that show or do what the API does."""
        api = self.context.api
        return Call(
            lambda: self.connection, self.now, self.session.key, api.settings, api.checks, slow=api.slow
        )

    @property
    def before(self) -> int | None:
        """The id after which the wanted page of a list begins; None for the first page."""
        return cursor.decode_id(self.args.get("cursor"))

    def keep(self, key: Hashable, age: timedelta, read: Callable[[], Value]) -> Value:
        """The value of `read`, which is called again once the value is older than `age`. All browsers share it."""
        kept = self.context.kept
        until, value = kept.get(key, (self.now, None))
        if until <= self.now:
            value = read()
            if len(kept) >= _MOST_KEPT:
                kept.clear()
            kept[key] = self.now + age, value
        found: Value = value
        return found


def read_form(values: Mapping[str, Any], kind: type[Value]) -> Value:
    """The values of a form or query as a type of the API. Raises ApiError."""
    try:
        return convert(values, kind, strict=False)
    except ValidationError as fault:
        raise ApiError(400, "bad_form", f"The form is invalid: {fault}.") from None


def render(request: PageRequest, template: str, *, status: int = 200, **values: Any) -> Response:
    """The template with the message that the last action left."""
    flash = read_message(request.http, request.session)
    page = render_part(request, template, flash=flash, **values)
    response = make_response(page, status)
    if flash is not None:
        clear_message(request.http, response)
    return response


def render_part(request: PageRequest, template: str, **values: Any) -> str:
    """A template, or a part of a page, as text. It can name numbers and accounts by `name_of`."""
    session = request.session
    return render_template(
        template,
        user=session,
        token=session.form_token,
        now=request.now,
        name_of=lambda key: request.keep(_NAMES, _NAMES_FOR, lambda: all_names(request.connection)).get(
            key, ""
        ),
        **values,
    )


def redirect_with_message(request: PageRequest, path: str, words: str, *, is_good: bool = True) -> Response:
    """A redirect to the page at `path`, which shows the message once."""
    response = make_response(redirect(path, code=303))
    leave_message(request.http, response, request.session, PageMessage(words, is_good))
    return response


def live_response(
    request: PageRequest, headline: str, parts: dict[str, str], chart: Chart | None, *, shape: str
) -> Response:
    """The JSON that static/dashboard.js polls. When `shape` differs from the page's, the script reloads the page."""
    return jsonify(
        at=request.now.isoformat(), headline=headline, shape=shape, parts=parts, chart=to_builtins(chart)
    )
