"""What every answer tells a browser: what it may not do with it. Pages and data each have their own words."""

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
_HTTPS_ONLY = {"Strict-Transport-Security": "max-age=31536000"}
_BARE = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
"""Without a body there is nothing to run, frame or show: what Meta is answered some thousand times a second."""


def bare_headers(public_url: str) -> list[tuple[str, str]]:
    """What an answer without a body says."""
    return list(_BARE.items()) + _https(public_url)


def data_headers(public_url: str) -> list[tuple[str, str]]:
    """What an answer that is data says."""
    return list(_API.items()) + _https(public_url)


def _https(public_url: str) -> list[tuple[str, str]]:
    return list(_HTTPS_ONLY.items()) if public_url.startswith("https://") else []


def secure_api(blueprint: Blueprint) -> None:
    """Answers of this blueprint are data: never cached, never framed, never run."""
    _attach(blueprint, _API)


def secure_pages(blueprint: Blueprint) -> None:
    """Answers of this blueprint are pages without scripts, styled by our own files only."""
    _attach(blueprint, _PAGE)


def secure_rest(app: Flask, public_url: str) -> None:
    """What no blueprint secured (the webhook, errors, unknown paths) is data. Behind https there is no way back."""
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
    """Add those that are missing. To ask Headers itself for a name it does not have costs ten times as much."""
    present = {name.lower() for name, _ in headers}
    headers.extend([pair for pair in pairs if pair[0].lower() not in present])
