"""Security headers of every answer; pages and data have different ones."""

from collections.abc import Sequence

from flask import Blueprint, Flask, Response
from werkzeug.datastructures import Headers

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_API = _ALWAYS | {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_PAGE = _ALWAYS | {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "X-Frame-Options": "DENY",
}
_DASHBOARD = {
    # No 'unsafe-inline' for plotly.js: dashboard.css replaces the <style> elements that it would add. The one for
    # maps, which we do not draw, is refused; browsers note that on their console.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_HTTPS_ONLY = {"Strict-Transport-Security": "max-age=31536000"}
_BARE = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
"""An answer without a body needs no policy: the one to Meta is sent thousands of times a second."""


def bare_headers(public_url: str) -> list[tuple[str, str]]:
    """The headers of an answer without a body."""
    return list(_BARE.items()) + _https(public_url)


def data_headers(public_url: str) -> list[tuple[str, str]]:
    """The headers of an answer that is data."""
    return list(_API.items()) + _https(public_url)


def is_https(public_url: str) -> bool:
    """Whether browsers reach the service over https. URL schemes ignore case."""
    return public_url.lower().startswith("https://")


def _https(public_url: str) -> list[tuple[str, str]]:
    return list(_HTTPS_ONLY.items()) if is_https(public_url) else []


def secure_api(blueprint: Blueprint) -> None:
    """Mark the answers of this blueprint as data: never cached, framed or executed."""
    _attach(blueprint, _API)


def secure_pages(blueprint: Blueprint) -> None:
    """Mark the answers of this blueprint as pages without scripts, styled only by our own files."""
    _attach(blueprint, _PAGE)


def secure_dashboard(blueprint: Blueprint) -> None:
    """Mark the answers of this blueprint as pages that run only our own scripts."""
    _attach(blueprint, _DASHBOARD)


def secure_app(app: Flask, public_url: str) -> None:
    """Mark all other answers (the webhook, errors, unknown paths) as data; on https require it from now on."""
    https = _https(public_url)
    always = list(_ALWAYS.items()) + https
    data = data_headers(public_url)
    bare = bare_headers(public_url)

    @app.after_request
    def attach(response: Response) -> Response:
        headers = response.headers
        if "Content-Security-Policy" in [name for name, _ in headers]:
            _complete(headers, always)
        else:
            headers.extend(data if response.response else bare)
        return response


def _attach(blueprint: Blueprint, headers: dict[str, str]) -> None:
    pairs = list(headers.items())

    @blueprint.after_request
    def attach(response: Response) -> Response:
        _complete(response.headers, pairs)
        return response


def _complete(headers: Headers, pairs: Sequence[tuple[str, str]]) -> None:
    """Add the missing headers. Looking up a missing name in Headers itself costs ten times as much."""
    present = {name.lower() for name, _ in headers}
    headers.extend([pair for pair in pairs if pair[0].lower() not in present])
