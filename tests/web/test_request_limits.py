"""No request costs much of a worker's time in one piece, whatever is sent to whichever route.

Work is counted in calls of functions: 10 000 take some milliseconds. Routes are taken from the application, so that a
new one is held to the limits, too.
"""

import re
import sys
from io import BytesIO

import pytest
from werkzeug.test import EnvironBuilder

from webhook_app.web.api import ENDPOINTS
from webhook_app.web.api.routes import MAX_VALUES
from webhook_app.web.pages.page import MAX_FORM_BYTES, PUBLIC_FORM_BYTES, PUBLIC_FORM_FIELDS
from webhook_app.web.request_limits import MAX_PARAMETERS

MOST_CALLS = 20_000
SESSION_CALLS = 70_000  # the largest page, and a form of 1 000 fields
HEAD = 24_000  # bytes of three headers; 32 KiB is the most for a head
LINE = 4_000

HEADERS = {
    "HTTP_ACCEPT": "a/b;q=0.1," * (HEAD // 10),
    "HTTP_ACCEPT_ENCODING": "a," * (HEAD // 2),
    "HTTP_ACCEPT_LANGUAGE": "a;q=0.1," * (HEAD // 8),
    "HTTP_AUTHORIZATION": "Bearer wa_" + "x" * 43,
    "HTTP_COOKIE": "a;" * (HEAD // 4) + 'webhook_app_theme="\\101";' * (HEAD // 50),
    "HTTP_IF_NONE_MATCH": '"a",' * (HEAD // 4),
    "HTTP_RANGE": "bytes=" + "1-2," * (HEAD // 4),
    "HTTP_X_FORWARDED_FOR": ",127.0.0.1" * (HEAD // 10),
}
HEADS = (
    HEADERS | {"QUERY_STRING": ("next=" + "%C3" * LINE)[:LINE]},
    {"QUERY_STRING": "%C3&" * (LINE // 4)},
)
PART = b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n"
URLENCODED = "application/x-www-form-urlencoded"
FORMS = (
    (URLENCODED, b"%C3=&" * (MAX_FORM_BYTES // 5)),
    (URLENCODED, b"%C3=&" * (PUBLIC_FORM_BYTES // 5)),
    (URLENCODED, (b"next=" + b"%C3" * MAX_FORM_BYTES)[:PUBLIC_FORM_BYTES]),
    ("multipart/form-data; boundary=b", PART * (PUBLIC_FORM_BYTES // len(PART))),
    ("multipart/form-data; boundary=b", b"--b\r\n" + b"a: b\r\n" * (PUBLIC_FORM_BYTES // 7) + b"\r\n"),
)


def routes_of(app):
    """Each method and path that is served, and a path that is not."""
    served = {(method, rule.rule) for rule in app.url_map.iter_rules() for method in rule.methods}
    return sorted(
        (method, address(rule)) for method, rule in served | {("GET", "/nothing"), ("POST", "/nothing")}
    )


def address(rule):
    if rule.startswith("/static"):
        return "/static/dashboard.css"
    if rule.startswith("/docs/static"):
        return "/docs/static/docs.css"
    return re.sub(r"<[^>]+>", "x" * 300, re.sub(r"<int[^>]*>", "7", rule))


class Calls:
    """Counts the calls of functions while it is entered."""

    def __enter__(self):
        self.count = 0
        sys.setprofile(self._add)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)

    def _add(self, _frame, event, _argument):
        self.count += event in ("call", "c_call")


def calls_of(app, method, path, cookie, head, form):
    """How many functions are called to answer this."""
    kind, data = form
    environ = EnvironBuilder(path, method=method, content_type=kind, input_stream=BytesIO(data)).get_environ()
    environ |= head | {"CONTENT_LENGTH": str(len(data)), "REMOTE_ADDR": "127.0.0.1"}
    environ["HTTP_COOKIE"] = f"{cookie};{environ.get('HTTP_COOKIE', '')}"
    with Calls() as calls:
        answer = app.wsgi_app(environ, lambda *_: None)
        b"".join(answer)
    if hasattr(answer, "close"):
        answer.close()
    return calls.count


def costly(app, heads, forms=(), *, only="/", most=MOST_CALLS, cookie="", key=None):
    """The requests that call more functions than `most`, each head and form sent to each route."""
    found = {}
    for method, path in routes_of(app):
        if not path.startswith(only):
            continue
        inputs = [(head, ("", b"")) for head in heads]
        if method in ("POST", "PUT"):
            inputs += [({}, form) for form in forms]
        elif method != "GET" and (cookie or key):  # the views of GET, or none
            continue
        for number, (head, form) in enumerate(inputs):
            request = method, path, cookie, head | (key or {}), form
            if (calls := calls_of(app, *request)) > most:
                calls = calls_of(app, *request)  # the first one made what is made once per process
            if calls > most:
                found[f"{method} {path[:50]} {number}"] = calls
    return found


def test_no_request_without_a_key_or_session_takes_long(make_app):
    app = make_app(trusted_proxies="127.0.0.0/8", webhook_allow_from="173.252.64.0/18")
    assert costly(app, HEADS, FORMS) == {}


def test_no_head_of_a_request_with_a_key_takes_long(app, keys):
    key = {"HTTP_AUTHORIZATION": f"Bearer {keys['viewer']}"}
    assert costly(app, HEADS, only="/v1/", key=key) == {}


def test_no_head_or_form_of_somebody_signed_in_takes_long(viewer):
    cookie = viewer.get_cookie("webhook_app_session")
    session = f"{cookie.key}={cookie.value}"
    fields = URLENCODED, b"%C3=&" * 999
    assert costly(viewer.application, HEADS[:1], [fields], most=SESSION_CALLS, cookie=session) == {}


@pytest.mark.parametrize("endpoint", [each for each in ENDPOINTS if each.body], ids=lambda each: each.name)
def test_a_body_of_hundreds_of_thousands_of_values_is_refused_before_it_is_decoded(api, endpoint):
    path = re.sub(r"{\w+}", "7", endpoint.path)
    response = api.ask(endpoint.method, path, data=b"[" * MAX_VALUES + b"1,")
    assert response.status_code == 400
    assert "more than 200000 values" in response.json["error"]["message"]


def test_a_query_of_many_parameters_is_refused(client):
    response = client.get("/webhook", query_string="&".join(["a"] * (MAX_PARAMETERS + 1)))
    assert response.status_code == 400
    assert client.get("/webhook", query_string="&".join(["a"] * MAX_PARAMETERS)).status_code == 403


def test_a_form_of_many_fields_is_refused(client):
    field = "theme=dark"
    most = "&".join([field] * PUBLIC_FORM_FIELDS)
    assert client.post("/theme", data=f"{most}&{field}", content_type=URLENCODED).status_code == 413
    assert client.post("/theme", data=most, content_type=URLENCODED).status_code == 303


def test_a_cookie_of_ours_is_found_among_hundreds_of_others(app):
    client = app.test_client(use_cookies=False)
    others = "; ".join(f"c{number}=x" for number in range(300))
    page = client.get("/login", headers={"Cookie": f"{others}; webhook_app_theme=dark; d=y"})
    assert 'data-theme="dark"' in page.text


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
def test_what_a_client_has_is_not_sent_again(client, path):
    tag = client.get(path).headers["ETag"]
    assert client.get(path, headers={"If-None-Match": f'"other", W/{tag}'}).status_code == 304
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_the_reference_has_the_colours_of_each_browser(app):
    client = app.test_client(use_cookies=False)
    assert "data-theme" not in client.get("/docs").text
    dark = client.get("/docs", headers={"Cookie": "webhook_app_theme=dark"})
    assert 'data-theme="dark"' in dark.text
    assert dark.headers["Vary"] == "Cookie"
