"""Endpoints over HTTP: who is it, what do they ask, then the view, and its answer. No endpoint of its own."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from itertools import chain
from tempfile import SpooledTemporaryFile
from typing import IO, Any, get_origin

import msgspec
from flask import Blueprint, Response, request
from msgspec import Struct

from webhook_app.store.operations import audit
from webhook_app.store.operations.api_keys import ApiKey
from webhook_app.store.postgres.errors import UNAVAILABLE
from webhook_app.web import auditing
from webhook_app.web.api.endpoints import ApiContext, Call, Connect, Endpoint, Stream, plain
from webhook_app.web.errors import ApiError

MAX_BODY_BYTES = 4 * 2**20  # 10 000 contacts as long as they may be, with room for escapes
MAX_UPLOAD_BYTES = 512 * 2**20
JSON = "application/json"
FAULT = "webhook_app.api_fault"
"""In the environment of a request: what went wrong before the route saw it, for the route to say."""
_BIGINT = 2**63

encode = msgspec.json.Encoder().encode


class Service:
    """Calls the view of one endpoint, in one transaction."""

    def __init__(self, endpoint: Endpoint, room: ApiContext) -> None:
        alone = room.lookups.execution_options(isolation_level="AUTOCOMMIT")
        self._endpoint, self._room = endpoint, room
        self._connect = alone.connect if endpoint.autocommit else room.engine.begin

    def answer(
        self, now: datetime, key: ApiKey, arguments: dict[str, Any]
    ) -> tuple[Struct | Stream, dict[str, str]]:
        """What the view gives, and the headers it adds; what stands in for it while the database is away."""
        endpoint, room = self._endpoint, self._room
        headers: dict[str, str] = {}
        try:
            with _audited(endpoint, room, key, now), ExitStack() as held:
                call = Call(
                    lambda: held.enter_context(self._connect()), now, key, room.settings, room.checks, headers
                )
                return endpoint.view(call, **arguments), headers
        except UNAVAILABLE:
            stand_in = endpoint.without_database and endpoint.without_database(
                room.settings, now, **arguments
            )
            if stand_in is None:
                raise
            return stand_in, headers


def add_route(blueprint: Blueprint, endpoint: Endpoint, room: ApiContext) -> None:
    """Serve the endpoint: who is it, what do they ask, then the view."""
    service = Service(endpoint, room)
    decoder = msgspec.json.Decoder(endpoint.body) if endpoint.body else None

    def answer(**path: Any) -> Response:
        if (fault := request.environ.get(FAULT)) is not None:
            raise fault
        now = room.clock()
        key = room.keyring.require(endpoint.role, request.headers.get("Authorization", ""), now)
        arguments = _path_values(path)
        if endpoint.query:
            arguments["query"] = _read_query(endpoint)
        else:
            _refuse_unknown(())
        if decoder is not None:
            arguments["body"] = _read_body(decoder)
        if endpoint.uploads:
            return _with_upload(lambda upload: respond(now, key, {**arguments, "upload": upload}))
        return respond(now, key, arguments)

    def respond(now: datetime, key: ApiKey, arguments: dict[str, Any]) -> Response:
        found, headers = service.answer(now, key, arguments)
        tag = headers.get("ETag", "").strip('"')
        if endpoint.conditional and tag and request.if_none_match.contains_weak(tag):
            response = Response(status=304)
        else:
            response = (
                streamed(found, room.engine.begin)
                if isinstance(found, Stream)
                else Response(encode(found), content_type=JSON)
            )
        response.headers.update(headers)
        return response

    blueprint.add_url_rule(
        endpoint.rule, endpoint.name, answer, methods=[endpoint.method], merge_slashes=False
    )


@contextmanager
def _audited(endpoint: Endpoint, room: ApiContext, key: ApiKey, now: datetime) -> Iterator[None]:
    """A change is written down before it is made, and completed after, in transactions of their own."""
    if not endpoint.is_audited:
        yield
        return
    with room.engine.begin() as connection:
        entry = auditing.write(connection, key, "api", endpoint.name, request.view_args or {}, now)
    yield
    with room.engine.begin() as connection:
        audit.finish(connection, entry, auditing.DONE)


def _with_upload(respond: Callable[[IO[bytes]], Response]) -> Response:
    """The body as a file, taken whole before anything is answered: many clients do not read before they have sent."""
    with ExitStack() as files:
        upload = files.enter_context(SpooledTemporaryFile(max_size=MAX_BODY_BYTES))
        request.max_content_length = MAX_UPLOAD_BYTES
        shutil.copyfileobj(request.stream, upload)
        upload.seek(0)
        response = respond(upload)
        response.call_on_close(files.pop_all().close)
        return response


def streamed(stream: Stream, connect: Connect) -> Response:
    """The answer made of it. Its first part is made before anything is sent: what fails at once is an error."""
    parts = stream.parts(connect)
    first = next(parts, b"")
    response = Response(chain([first], parts), content_type=f"{stream.media_type}; charset=utf-8")
    if stream.filename:
        response.headers["Content-Disposition"] = f'attachment; filename="{stream.filename}"'
    return response


def _path_values(path: Mapping[str, Any]) -> dict[str, Any]:
    """What the database can be asked for; anything else cannot exist."""
    for value in path.values():
        if "\0" in value if isinstance(value, str) else not -_BIGINT <= value < _BIGINT:
            raise ApiError(404, "not_found", "There is no such thing.")
    return dict(path)


def _read_query(endpoint: Endpoint) -> Struct:
    assert endpoint.query  # noqa: S101  the caller has looked
    fields = endpoint.query_fields
    _refuse_unknown(tuple(fields))
    values = {name: _query_value(name, fields[name]) for name in request.args}
    try:
        return msgspec.convert(values, endpoint.query, strict=False)
    except msgspec.ValidationError as fault:
        raise ApiError(400, "bad_parameter", _place(fault)) from None


def _refuse_unknown(known: tuple[str, ...]) -> None:
    if unknown := sorted(set(request.args) - set(known)):
        message = f"Unknown query parameter: {', '.join(unknown)}."
        raise ApiError(400, "unknown_parameter", message, {"unknown": unknown, "known": sorted(known)})


def _query_value(name: str, kind: Any) -> str | list[str]:
    given = request.args.getlist(name)
    if get_origin(plain(kind)) is tuple:
        return [part.strip() for text in given for part in text.split(",") if part.strip()]
    if len(given) > 1:
        raise ApiError(400, "bad_parameter", f"{name}: given {len(given)} times.")
    return given[0]


def _read_body(decoder: msgspec.json.Decoder[Struct]) -> Struct:
    """The body by its bytes, whatever its content type says; an empty one counts as {}."""
    request.max_content_length = MAX_BODY_BYTES
    try:
        return decoder.decode(request.get_data(cache=False) or b"{}")
    except msgspec.ValidationError as fault:
        raise ApiError(400, "bad_body", _place(fault)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise ApiError(400, "bad_json", f"The body is not JSON: {fault}.") from None


def _place(fault: msgspec.ValidationError) -> str:
    """msgspec's message, the place first: `limit: Expected …`."""
    message, _, place = str(fault).partition(" - at `$")
    place = place.strip("`").removeprefix(".")
    return f"{place}: {message}." if place else f"{message}."
