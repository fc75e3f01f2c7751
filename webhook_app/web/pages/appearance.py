"""Light, dark, or the system's choice, in a cookie that the server reads: pages do not flash while they load."""

from urllib.parse import urlsplit

from flask import Request, Response, make_response, redirect

from webhook_app.web.pages.operations.sessions import is_secure
from webhook_app.web.pages.page import Page, PublicRequest

THEMES = {"light": "Light", "dark": "Dark", "auto": "Auto"}

_COOKIE = "webhook_app_theme"
_YEAR = 365 * 24 * 3600


def theme(request: Request) -> str:
    """The choice of this browser: light, dark or auto."""
    chosen = request.cookies.get(_COOKIE, "auto")
    return chosen if chosen in THEMES else "auto"


def choose_theme(request: PublicRequest) -> Response:
    """Store the choice in this browser and go back. It concerns only this browser: no session, no token."""
    response = make_response(redirect(own_path(request.form.get("next", "")), code=303))
    chosen = request.form.get("theme", "")
    if chosen in THEMES:
        response.set_cookie(_COOKIE, chosen, max_age=_YEAR, samesite="Lax", secure=is_secure(request.http))
    return response


def own_path(wanted: str) -> str:
    """The path a form asks to be sent to when it is on this host; else the first page."""
    try:
        parts = urlsplit(wanted) if wanted.isprintable() and "\\" not in wanted else None
    except ValueError:  # brackets without an IPv6 address, characters that normalise to separators
        parts = None
    is_ours = parts is not None and not parts.scheme and not parts.netloc and wanted[:1] == "/" != wanted[1:2]
    return wanted if is_ours else "/"


PAGES = (Page("POST", "/theme", choose_theme, is_public=True),)
