"""Serves the simulated Graph API over HTTP, on loopback unless another host is given. It decides nothing."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from werkzeug import Request, Response
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from webhook_app.simulator.graph_api.answers import GraphAnswer
from webhook_app.simulator.graph_api.graph import GraphCall, GraphResult, SimulatedGraph
from webhook_app.simulator.graph_api.webhook_poster import WebhookPoster

INBOUND_PATH = "simulator/inbound"
_MOST_BYTES = 101 * 2**20  # Meta's largest upload has 100 MB
_VERSION = re.compile(r"v(\d{1,3})(?:\.\d+)?/")
_NEWEST = 25


@contextmanager
def graph_server(
    graph: SimulatedGraph,
    poster: WebhookPoster | None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    show: Callable[[str], object] = lambda _line: None,
) -> Iterator[BaseWSGIServer]:
    """Return a server that listens; `serve_forever` answers calls until `shutdown` or Ctrl-C."""

    @Request.application
    def application(request: Request) -> Response:
        now = datetime.now(UTC)
        result = _result(graph, request, now)
        if poster is not None:
            poster.add(result.changes, now)
        show(_line(request, result, now))
        return _response(graph, result)

    server = make_server(host, port, application, threaded=True, request_handler=_QuietHandler)
    try:
        yield server
    finally:
        server.server_close()


class _QuietHandler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 the base class' name
        """Log no requests: the calls are printed with their codes, and without tokens."""


def _result(graph: SimulatedGraph, request: Request, now: datetime) -> GraphResult:
    path = request.path.strip("/")
    request.max_content_length = _MOST_BYTES
    body = _json(request) if request.is_json else None
    if path == INBOUND_PATH and request.method == "POST":
        if "Origin" in request.headers:  # a page in a browser could send STOP of anybody
            return GraphResult(GraphAnswer(403, {"error": {"message": "not for pages in a browser"}}))
        return graph.inbound(body if body is not None else request.form.to_dict(), now)
    version = _VERSION.match(path + "/")
    call = GraphCall(
        method=request.method,
        path=path[version.end() :] if version else path,
        version=int(version[1]) if version else _NEWEST,
        token=_token(request),
        query=request.args.to_dict(),
        body=body,
    )
    return graph.answer(call, now)


def _token(request: Request) -> str:
    header = request.headers.get("Authorization", "")
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() in ("bearer", "oauth") else request.args.get("access_token", "")


def _json(request: Request) -> Any:
    try:
        return json.loads(request.get_data())
    except (ValueError, RecursionError):
        return None


def _response(graph: SimulatedGraph, result: GraphResult) -> Response:
    answer = result.answer
    response = Response(json.dumps(answer.body), answer.status, mimetype="application/json")
    if (used := graph.limits.used_percent) is not None:
        response.headers["X-App-Usage"] = json.dumps(
            {"call_count": used, "total_cputime": 0, "total_time": 0}
        )
    if answer.status == 401:
        message = answer.body["error"]["message"]
        response.headers["WWW-Authenticate"] = f'OAuth "Facebook Platform" "invalid_request" "{message}"'
    return response


def _line(request: Request, result: GraphResult, now: datetime) -> str:
    """One line for people: time, call, status, and what Meta says."""
    body = result.answer.body
    said = body["error"]["message"] if "error" in body else ""
    if sent := body.get("messages"):
        outcomes = [_outcome(change.change) for change in result.changes]
        said = f"{body['contacts'][0]['input']} {sent[0]['id'][:20]}… {' → '.join(outcomes)}"
    line = f"{now:%H:%M:%S} {request.method} {request.path} {result.answer.status} {said}".rstrip()
    return "".join(each if each.isprintable() else "?" for each in line)


def _outcome(change: dict[str, Any]) -> str:
    status = change["value"]["statuses"][0]
    return f"failed {status['errors'][0]['code']}" if "errors" in status else str(status["status"])
