"""Light, dark, or as the system has it: a cookie that the server reads, so that pages do not flash while they load."""

from urllib.parse import urlsplit

from flask import Blueprint, Response, make_response, redirect, request

THEMES = {"light": "Light", "dark": "Dark", "auto": "Auto"}

_COOKIE = "webhook_app_theme"
_YEAR = 365 * 24 * 3600


def theme() -> str:
    """What this browser chose: light, dark or auto."""
    chosen = request.cookies.get(_COOKIE, "auto")
    return chosen if chosen in THEMES else "auto"


def add_appearance(blueprint: Blueprint) -> None:
    """Let templates know the theme, and browsers without JavaScript choose it."""
    blueprint.app_context_processor(lambda: {"theme": theme(), "themes": THEMES})
    blueprint.add_url_rule("/theme", "choose_theme", choose_theme, methods=["POST"])


def choose_theme() -> Response:
    """Remember the choice and go back. It is nobody's business but this browser's: no session, no token."""
    response = make_response(redirect(our_page(request.form.get("next", "")), code=303))
    chosen = request.form.get("theme", "")
    if chosen in THEMES:
        response.set_cookie(_COOKIE, chosen, max_age=_YEAR, samesite="Lax", secure=request.is_secure)
    return response


def our_page(wanted: str) -> str:
    """Where a form wants to lead, if that is a page of ours; else the first one."""
    parts = urlsplit(wanted) if wanted.isprintable() and "\\" not in wanted else None
    is_ours = parts is not None and not parts.scheme and not parts.netloc and wanted[:1] == "/" != wanted[1:2]
    return wanted if is_ours else "/"
