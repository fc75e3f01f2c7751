"""A read-only client of Meta's Graph API: fields, pages, errors, repetition, and the limit on calls.

The access token travels in a header; only debug_token needs it in the address too, so no address is ever logged or part
of an error.
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from hmac import new as hmac
from typing import Any, TypeVar

import httpx

from webhook_app.http_exchange import exchange
from webhook_app.whatsapp.accounts.graph_answers import GraphReadError, read_error

Answer = TypeVar("Answer")
Row = TypeVar("Row")

API_URL = "https://graph.facebook.com"
API_VERSION = "v25.0"

_TIMEOUT = httpx.Timeout(20.0, connect=5.0)
_TOTAL_S = 60.0  # of one answer
_MAX_ANSWER_BYTES = 4 * 2**20
_READING_S = 300.0  # of all that one client reads; it is made anew for each reading
_PAGE = 100
_LEAST_PAGE = 10
_MAX_ROWS = 10_000  # of an edge; an account has at most 6 000 templates
_MAX_PAGES = 1_000
_MAX_EDGE_BYTES = 64 * 2**20
_PAUSES_S = (1.0, 2.0, 4.0)  # before each repetition
_TRANSIENT = frozenset((1, 2, 131000, 131016))
_LIMITED = frozenset((4, 17, 613, 80007, 80008))  # too many calls: not before the next hour
_STOP_AT_PERCENT = 90  # of the calls that Meta allows
_MOST_PERCENT = 1_000_000  # a larger figure is no share
_ID = re.compile(r"[0-9]{1,32}", re.ASCII)
_UNKNOWN_FIELD = re.compile(r"nonexisting field \((\w+)\)")
_TOO_MUCH = re.compile("reduce the amount of data|the answer is too large")
_WRONG_SECRET = "Invalid appsecret_proof"  # noqa: S105  in Meta's message: the secret is another app's
_SECRET = re.compile(r"(access_token|input_token|appsecret_proof)=[^&\s\"']+|EAA\w{20,}")


class LimitReachedError(GraphReadError):
    """The calls that Meta allows are used up; further reads wait for the next hour."""


class GraphClient:
    """Reads nodes and edges with one access token. Every method raises GraphReadError."""

    def __init__(
        self,
        token: str,
        *,
        app_secrets: Sequence[bytes] = (),
        url: str = API_URL,
        version: str = API_VERSION,
        sleep: Callable[[float], object] = time.sleep,
        total_s: float = _TOTAL_S,
        go_on: Callable[[], bool] = lambda: True,
    ) -> None:
        self._go_on = go_on
        self._until = time.monotonic() + _READING_S
        self._total_s = total_s
        self._token = token
        self._secrets = list(app_secrets)
        self._base = f"{url.rstrip('/')}/{version}"
        self._sleep = sleep
        self._received = 0  # bytes
        self._certificates = httpx.create_ssl_context()
        self.server_time: datetime | None = None
        """Meta's clock at the last answer."""
        self.used_percent = 0.0
        """The largest share of allowed calls that an answer has reported."""

    def debug_token(self, app_id: str) -> dict[str, Any]:
        """What Meta knows of the token itself; asked as the app if its secret is known, else as the token."""
        return self._get("debug_token", {"input_token": self._token}, as_app=app_id)

    def subscriptions(self, app_id: str) -> list[Any]:
        """The app's webhooks; only the app itself may ask, with its secret."""
        return list(self._rows(f"{app_id}/subscriptions", {}, as_app=app_id))

    def node(self, node_id: str, core: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Any]:
        """One node. An optional field that this version of Graph does not know is left out."""
        return self._with_known_fields(core, optional, lambda fields: self._get(node_id, {"fields": fields}))

    def edge(self, path: str, core: Sequence[str], optional: Sequence[str] = ()) -> list[dict[str, Any]]:
        """All rows of an edge such as `{waba_id}/phone_numbers`."""
        return self.read_edge(path, lambda row: row, core, optional)

    def read_edge(
        self,
        path: str,
        read: Callable[[dict[str, Any]], Row],
        core: Sequence[str],
        optional: Sequence[str] = (),
    ) -> list[Row]:
        """What `read` makes of each row of an edge. Only that is kept in memory."""
        return self._with_known_fields(
            core,
            optional,
            lambda fields: [*map(read, self._rows(path, {"fields": fields} if fields else {}))],
        )

    def _with_known_fields(
        self, core: Sequence[str], optional: Sequence[str], read: Callable[[str], Answer]
    ) -> Answer:
        wanted = [*core, *optional]
        while True:
            try:
                return read(",".join(wanted))
            except GraphReadError as fault:
                unknown = _UNKNOWN_FIELD.search(fault.message)
                if unknown is None or unknown[1] not in optional or unknown[1] not in wanted:
                    raise
                wanted.remove(unknown[1])

    def _rows(self, path: str, query: dict[str, str], as_app: str = "") -> Iterator[Any]:
        """The rows of all pages. `paging.next` may hold the token, so each address is built from the cursor.

        A page that is too large for Meta or for us is asked for again with half as many rows.
        """
        after, size, rows, before = "", _PAGE, 0, self._received
        for _ in range(_MAX_PAGES):
            try:
                answer = self._get(
                    path, query | {"limit": str(size)} | ({"after": after} if after else {}), as_app
                )
            except GraphReadError as fault:
                if size <= _LEAST_PAGE or not _TOO_MUCH.search(fault.message):
                    raise
                size //= 2
                continue
            data = answer.get("data")
            page = data[:size] if isinstance(data, list) else []
            yield from page
            rows += len(page)
            paging = answer.get("paging")
            cursors = paging.get("cursors") if isinstance(paging, dict) and "next" in paging else None
            after = str(cursors.get("after", "")) if isinstance(cursors, dict) else ""
            if not after:
                return
            if rows >= _MAX_ROWS or self._received - before > _MAX_EDGE_BYTES:
                break
        raise GraphReadError(1, -1, "the list is too long to be read")

    def _get(self, path: str, query: dict[str, str], as_app: str = "") -> dict[str, Any]:
        if not _ID.fullmatch(path.partition("/")[0]) and path != "debug_token":
            raise GraphReadError(100, -1, "an id that is not one of Meta's was not asked for")
        for pause in (*_PAUSES_S, None):
            if self.used_percent >= _STOP_AT_PERCENT:
                raise LimitReachedError(4, -1, "the calls that Meta allows in this hour are nearly used up")
            if time.monotonic() > self._until or not self._go_on():
                raise LimitReachedError(-1, -1, "the reading takes too long, or is to end")
            try:
                return self._get_once(path, query, as_app)
            except GraphReadError as fault:
                if _WRONG_SECRET in fault.message and len(self._secrets) > 1:
                    del self._secrets[0]
                    return self._get(path, query, as_app)
                if fault.code in _LIMITED:
                    raise LimitReachedError(fault.code, fault.subcode, fault.message) from None
                is_transient = fault.code < 0 or (
                    fault.code in _TRANSIENT and not _TOO_MUCH.search(fault.message)
                )
                if pause is None or not is_transient:
                    raise
                self._sleep(pause)
        raise AssertionError  # the last round returns or raises

    def _get_once(self, path: str, query: dict[str, str], as_app: str) -> dict[str, Any]:
        secret = self._secrets[0] if self._secrets else b""
        bearer = f"{as_app}|{secret.decode()}" if as_app and secret else self._token
        if secret and bearer is self._token:
            query = query | {"appsecret_proof": hmac(secret, bearer.encode(), sha256).hexdigest()}
        try:
            response = exchange(
                "GET",
                httpx.URL(f"{self._base}/{path}", params=query),
                headers={"Authorization": f"Bearer {bearer}"},
                timeout=_TIMEOUT,
                total_s=self._total_s,
                max_bytes=_MAX_ANSWER_BYTES,
                certificates=self._certificates,
            )
        except httpx.HTTPError as fault:
            raise GraphReadError(
                -1, -1, f"the Graph API cannot be reached ({type(fault).__name__})"
            ) from None
        self._received += len(response.body)
        self._note_headers(response.headers)
        if len(response.body) > _MAX_ANSWER_BYTES:
            raise GraphReadError(1, -1, "the answer is too large")
        try:
            answer = json.loads(self._masked(response.body))
        except (ValueError, RecursionError):
            raise GraphReadError(-1, -1, f"the Graph API answered {response.status} without JSON") from None
        if not isinstance(answer, dict) or "error" in answer or not httpx.codes.is_success(response.status):
            refused = read_error(answer)
            raise GraphReadError(refused.code, refused.subcode, _SECRET.sub("***", refused.message))
        return answer

    def _masked(self, body: bytes) -> bytes:
        """The answer without our secrets, escaped ones too: what it says is stored and shown."""
        if b"\\u" in body:
            body = json.dumps(json.loads(body), ensure_ascii=False).encode(errors="surrogatepass")
        for secret in (self._token.encode(), *self._secrets):
            body = body.replace(secret, b"***")
        return body

    def _note_headers(self, headers: httpx.Headers) -> None:
        try:
            at = parsedate_to_datetime(headers.get("Date", ""))
            self.server_time = at if at.tzinfo else at.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            pass
        usage = [_json(headers.get("X-App-Usage"))]
        for entries in _json(headers.get("X-Business-Use-Case-Usage")).values():
            usage += [each for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []
        for each in usage:
            for name in ("call_count", "total_cputime", "total_time"):
                if isinstance(share := each.get(name), (int, float)) and 0 <= share <= _MOST_PERCENT:
                    self.used_percent = max(self.used_percent, float(share))


def _json(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
