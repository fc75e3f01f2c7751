"""A Graph API on loopback with Meta's forms: fields, unknown fields, pages, app tokens, errors 100/33 and 190, limits.

Written from Meta's reference and captured answers, apart from the client under test.
"""

import json
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

TOKEN, APP_ID, APP_SECRET = "EAAtesttokentesttokentesttoken", "900100", b"an app secret of meta"
WABA, NUMBER = "555000100000", "106000000000"
OURS = "https://hooks.example/webhook"


def error(status, code, message, subcode=None):
    """An answer with Meta's error object."""
    subcodes = {} if subcode is None else {"error_subcode": subcode}
    fault = {"message": message, "type": "OAuthException", "code": code, "fbtrace_id": "A1"} | subcodes
    return status, {"error": fault}


class FakeGraph:
    """Listens during its `with` block. Change its nodes, edges, token and script to make faults."""

    def __init__(self):
        self.requests = []
        self.script = deque()
        """(status, JSON) answers that are given before any other."""
        self.headers = {}
        self.page_size = 2
        self.token = {
            "app_id": APP_ID, "type": "SYSTEM_USER", "is_valid": True, "expires_at": 0, "data_access_expires_at": 0,
            "scopes": ["whatsapp_business_management", "whatsapp_business_messaging"],
            "granular_scopes": [{"scope": "whatsapp_business_management", "target_ids": [WABA]}],
        }  # fmt: skip
        fields = (
            "messages", "user_preferences", "account_update", "account_alerts", "account_review_update",
            "business_capability_update", "phone_number_quality_update", "phone_number_name_update",
            "message_template_status_update", "message_template_quality_update", "template_category_update",
            "security",
        )  # fmt: skip
        self.subscription = {
            "object": "whatsapp_business_account", "callback_url": OURS, "active": True,
            "fields": [{"name": name, "version": "v25.0"} for name in fields],
        }  # fmt: skip
        available = {"can_send_message": "AVAILABLE"}
        self.nodes = {
            WABA: {
                "id": WABA, "name": "Acme EU", "status": "ACTIVE", "account_review_status": "APPROVED",
                "health_status": {"entities": [{"entity_type": "WABA", "id": WABA} | available]},
            },
            NUMBER: {
                "id": NUMBER,
                "health_status": {"entities": [{"entity_type": "PHONE_NUMBER", "id": NUMBER} | available]},
            },
        }  # fmt: skip
        self.number = {
            "id": NUMBER, "display_phone_number": "+49 30 1234567", "verified_name": "Acme", "status": "CONNECTED",
            "quality_rating": "GREEN", "name_status": "APPROVED", "platform_type": "CLOUD_API", "account_mode": "LIVE",
            "webhook_configuration": {"application": OURS},
        }  # fmt: skip
        self.app_row = {"whatsapp_business_api_data": {"id": APP_ID, "name": "Acme sends"}}
        self.template = {
            "id": "88001", "name": "order_ready", "language": "en_US", "status": "APPROVED", "category": "UTILITY",
            "parameter_format": "POSITIONAL", "quality_score": {"score": "GREEN"}, "rejected_reason": "NONE",
            "components": [{"type": "BODY", "text": "Hi {{1}}, order {{2}} is ready"}],
        }  # fmt: skip
        self.edges = {
            f"{WABA}/phone_numbers": [self.number],
            f"{WABA}/subscribed_apps": [self.app_row],
            f"{WABA}/message_templates": [self.template],
        }
        self.unknown_fields = {"throughput"}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path, query, bearer):
        """(status, JSON) for one GET."""
        if self.script:
            return self.script.popleft()
        app_token = f"{APP_ID}|{APP_SECRET.decode()}"
        if bearer not in (TOKEN, app_token):
            return error(401, 190, "Invalid OAuth access token - Cannot parse access token")
        if path == "debug_token":
            return 200, {"data": self.token}
        if path == f"{APP_ID}/subscriptions":
            if bearer != app_token:
                return error(400, 15, "(#15) This method must be called with an app access_token.")
            return 200, {"data": [self.subscription]}
        return self._asset(path, query)

    def _asset(self, path, query):
        fields = [name for name in query.get("fields", "").split(",") if name]
        for name in fields:
            if name in self.unknown_fields:
                return error(
                    400, 100, f"(#100) Tried accessing nonexisting field ({name}) on node type (WABA)"
                )
        if path in self.edges:
            return 200, self._page(self.edges[path], query)
        node = self.nodes.get(path)
        if node is None:
            said = f"Unsupported get request. Object with ID '{path}' does not exist, cannot be loaded"
            return error(400, 100, said, 33)
        return (
            (*node,)
            if isinstance(node, tuple)
            else (200, {k: v for k, v in node.items() if k in ("id", *fields)})
        )

    def _page(self, rows, query):
        first = int(query.get("after", 0))
        last = first + self.page_size
        paging = {"cursors": {"before": str(first), "after": str(last)}}
        if last < len(rows):
            paging["next"] = f"{self.url}/next?access_token={TOKEN}&after={last}"
        return {"data": rows[first:last], "paging": paging}


def _handler(graph):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            path = parts.path.split("/", 2)[2]
            graph.requests.append((path, query))
            bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
            status, answer = graph.answer(path, query, bearer)
            data = json.dumps(answer).encode() if not isinstance(answer, bytes) else answer
            self.send_response(status)
            for name, value in graph.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    return Handler
