"""What answers of the API and of pages tell a browser. The webhook's answers carry none: nobody browses them."""

from flask import Blueprint, Response

_ALWAYS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
_API = _ALWAYS | {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_PAGE = _ALWAYS | {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
}


def secure_api(blueprint: Blueprint) -> None:
    """Answers of this blueprint are data: never cached, never framed, never run."""
    _attach(blueprint, _API)


def secure_pages(blueprint: Blueprint) -> None:
    """Answers of this blueprint are pages without scripts, styled by our own files only."""
    _attach(blueprint, _PAGE)


def _attach(blueprint: Blueprint, headers: dict[str, str]) -> None:
    @blueprint.after_request
    def attach(response: Response) -> Response:
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        return response
