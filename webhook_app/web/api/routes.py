"""Serves endpoints over HTTP: authenticates, reads the parameters, calls the view and writes its answer."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import datetime
from itertools import chain
from tempfile import SpooledTemporaryFile
from typing import IO, Any, get_origin

import msgspec
from flask import Blueprint, Response, request
from msgspec import Struct

from webhook_app.event_loop import REQUEST_TURNS
from webhook_app.store.operations import audit
from webhook_app.store.operations.api_keys import ApiKey
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.postgres.errors import UNAVAILABLE
from webhook_app.web import auditing
from webhook_app.web.api.endpoints import ApiContext, Call, Connect, Endpoint, Stream, Upload, plain
from webhook_app.web.api.values import check_times, has_times
from webhook_app.web.errors import ApiError
from webhook_app.web.request_limits import has_tag
from webhook_app.whatsapp.json_text import count_values

MAX_BODY_BYTES = 4 * 2**20  # 10 000 contacts as long as they may be, with context for escapes
MAX_VALUES = 200_000
"""In a body, counted by its commas and brackets: decoding millions takes a tenth of a second in one piece."""
MAX_UPLOAD_BYTES = 512 * 2**20
JSON = "application/json"
API_ERROR = "webhook_app.api_fault"
"""Key in a request's WSGI environment: an error raised before routing, for the route to raise again."""
_BIGINT = 2**63
_NOT_AUDITED = nullcontext()

encode = msgspec.json.Encoder().encode


class EndpointCaller:
    """Calls the view of one endpoint in one transaction."""

    def __init__(self, endpoint: Endpoint, context: ApiContext) -> None:
        self._endpoint, self._context = endpoint, context
        self._connect: Callable[[], AbstractContextManager[Connection]] = context.engine.begin
        if endpoint.autocommit:
            self._connect = context.lookups.execution_options(isolation_level="AUTOCOMMIT").connect

    def answer(
        self, now: datetime, key: ApiKey, arguments: dict[str, Any]
    ) -> tuple[Struct | Stream, dict[str, str]]:
        """Return the view's answer and headers, or those of `without_database` while the database is down."""
        endpoint, context = self._endpoint, self._context
        headers: dict[str, str] = {}
        try:
            audited = _audited(endpoint, context, key, now) if endpoint.is_audited else _NOT_AUDITED
            with audited, ExitStack() as stack:

                def open_connection() -> Connection:
                    return stack.enter_context(self._connect())

                call = Call(
                    open_connection, now, key, context.settings, context.checks, headers, context.slow
                )
                return endpoint.view(call, **arguments), headers
        except UNAVAILABLE:
            if endpoint.without_database is None:
                raise
            fallback = endpoint.without_database(context.settings, now, **arguments)
            if fallback is None:
                raise
            return fallback, headers


def add_route(blueprint: Blueprint, endpoint: Endpoint, context: ApiContext) -> None:
    """Add the endpoint's route to the blueprint."""
    caller = EndpointCaller(endpoint, context)
    decoder = msgspec.json.Decoder(endpoint.body) if endpoint.body else None
    body_has_times = endpoint.body is not None and has_times(endpoint.body)

    def answer(**path: Any) -> Response:
        if API_ERROR in request.environ:
            raise request.environ.pop(API_ERROR)
        key = context.keyring.require(
            endpoint.role, request.environ, context.clock(), changes=endpoint.changes
        )
        arguments = _path_values(path)
        if endpoint.query:
            arguments["query"] = _read_query(endpoint)
        else:
            _refuse_unknown(())
        if decoder is not None:
            arguments["body"] = _read_body(decoder, with_times=body_has_times)
        if endpoint.uploads:
            return _with_upload(lambda file: respond(key, {**arguments, "upload": _upload(file)}))
        return respond(key, arguments)

    def respond(key: ApiKey, arguments: dict[str, Any]) -> Response:
        now = context.clock()  # after the body, which the client may send slowly
        found, headers = caller.answer(now, key, arguments)
        tag = headers.get("ETag", "").strip('"')
        if endpoint.conditional and tag and has_tag(request.headers.get("If-None-Match", ""), tag):
            response = Response(status=304)
        else:
            response = (
                streamed(found, context.engine.begin)
                if isinstance(found, Stream)
                else Response(encode(found), content_type=JSON)
            )
        response.headers.update(headers)
        return response

    blueprint.add_url_rule(
        endpoint.rule, endpoint.name, answer, methods=[endpoint.method], merge_slashes=False
    )


@contextmanager
def _audited(endpoint: Endpoint, context: ApiContext, key: ApiKey, now: datetime) -> Iterator[None]:
    """Record a change in the audit log before it is made and complete the entry after it, each in a transaction."""
    with context.engine.begin() as connection:
        entry = auditing.record(connection, key, "api", endpoint.name, request.view_args or {}, now)
    yield
    with context.engine.begin() as connection:
        audit.finish(connection, entry, auditing.DONE)


def _upload(file: IO[bytes]) -> Upload:
    return Upload(file, request.mimetype)


def _with_upload(respond: Callable[[IO[bytes]], Response]) -> Response:
    """Pass the body as a file. It is read whole first: many clients read no answer before they have sent all."""
    with ExitStack() as files:
        upload = files.enter_context(SpooledTemporaryFile(max_size=MAX_BODY_BYTES))
        request.max_content_length = MAX_UPLOAD_BYTES
        shutil.copyfileobj(request.stream, upload)
        upload.seek(0)
        response = respond(upload)
        response.call_on_close(files.pop_all().close)
        return response


def streamed(stream: Stream, connect: Connect) -> Response:
    """Return a streamed answer. The first part is generated before sending, so that an early error gets its status."""
    parts = stream.parts(connect)
    first = next(parts, b"")
    response = Response(chain([first], parts), content_type=f"{stream.media_type}; charset=utf-8")
    if stream.filename:
        response.headers["Content-Disposition"] = f'attachment; filename="{stream.filename}"'
    return response


def _path_values(path: Mapping[str, Any]) -> dict[str, Any]:
    """Return the path's values. Raises ApiError 404 for a value that the database cannot store."""
    for value in path.values():
        if "\0" in value if isinstance(value, str) else not -_BIGINT <= value < _BIGINT:
            raise ApiError(404, "not_found", "Not found.")
    return dict(path)


def _read_query(endpoint: Endpoint) -> Struct:
    assert endpoint.query  # noqa: S101  for mypy: the caller has checked
    fields = endpoint.query_fields
    _refuse_unknown(tuple(fields))
    values = {name: _query_value(name, fields[name]) for name in request.args}
    try:
        query = msgspec.convert(values, endpoint.query, strict=False)
        check_times(query)
    except msgspec.ValidationError as fault:
        raise ApiError(400, "bad_parameter", _with_location(fault)) from None
    return query


def _refuse_unknown(known: tuple[str, ...]) -> None:
    if unknown := sorted(set(request.args) - set(known)):
        message = f"Unknown query parameter: {', '.join(unknown)}."
        raise ApiError(400, "unknown_parameter", message, {"unknown": unknown, "known": sorted(known)})


def _query_value(name: str, kind: Any) -> str | list[str]:
    given = request.args.getlist(name)
    if get_origin(plain(kind)) is tuple:
        parts = [part.strip() for text in given for part in text.split(",")]
        return list(dict.fromkeys(part for part in parts if part))
    if len(given) > 1:
        raise ApiError(400, "bad_parameter", f"{name}: given {len(given)} times; give it once.")
    return given[0]


def _read_body(decoder: msgspec.json.Decoder[Struct], *, with_times: bool) -> Struct:
    """Decode the body as JSON, whatever its content type; an empty body counts as {}."""
    request.max_content_length = MAX_BODY_BYTES
    try:
        given = request.get_data(cache=False) or b"{}"
        REQUEST_TURNS.wait()  # of many bodies that are complete at once, few are decoded between two polls
        if len(given) > MAX_VALUES and count_values(given) > MAX_VALUES:
            raise ApiError(400, "bad_body", f"The body has more than {MAX_VALUES} values.")
        body = decoder.decode(given)
        if with_times:  # a check of thousands of contacts has none
            check_times(body)
    except msgspec.ValidationError as fault:
        raise ApiError(400, "bad_body", _with_location(fault)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise ApiError(400, "bad_json", f"The body is not JSON: {fault}.") from None
    except RecursionError:
        raise ApiError(400, "bad_json", "The body is nested too deeply.") from None
    return body


def _with_location(fault: msgspec.ValidationError) -> str:
    """Return msgspec's message with the location first: `limit: Expected …`."""
    message, _, location = str(fault).partition(" - at `$")
    location = location.strip("`").removeprefix(".")
    return f"{location}: {message}." if location else f"{message}."
