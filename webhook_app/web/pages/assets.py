"""/static: our style sheet and scripts, and plotly.js from the installed package. Nothing comes from another host.

Addresses carry a version, so browsers may cache every answer for a year.
"""

import hashlib
import re
import threading
import time
import zlib
from functools import cache, cached_property
from importlib import resources
from importlib.metadata import version

from flask import Response
from werkzeug.exceptions import NotFound

from webhook_app.web.pages.page import Page, PublicRequest

_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_OWN = ("dashboard.css", "appearance.js", "dashboard.js", "charts.js", "sign_in.js", "import.js", "icon.svg")
_PLOTLY = "plotly.min.js"
_STEP = 2**16
_LONGEST_ENCODINGS = 200  # characters of the header; parsing a long one takes milliseconds
# plotly.js adds a <style> for maps that we do not draw, unless an element with its id is there; our policy refuses it.
_STYLE_ID = re.compile(rb'getElementById\("([0-9a-f]{64})"\)')

_HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
}


class Assets:
    """The files by name, read and compressed once per process; plotly.js only when it is first asked for.

    Answers share these bytes: a client that reads slowly holds its answer for as long as it is connected.
    """

    def __init__(self) -> None:
        static = resources.files("webhook_app.web").joinpath("static")
        self._files = {name: static.joinpath(name).read_bytes() for name in _OWN}
        self._packed: dict[str, bytes] = {}
        self._packing = threading.Lock()
        self._versions = {name: hashlib.sha256(held).hexdigest()[:12] for name, held in self._files.items()}
        self._versions[_PLOTLY] = version("plotly")

    def url(self, name: str) -> str:
        """The address templates link to."""
        return f"/static/{name}?v={self._versions[name]}"

    @cached_property
    def plotly_styles(self) -> list[str]:
        """The element ids that keep plotly.js from adding <style> elements."""
        return sorted({found.decode() for found in _STYLE_ID.findall(self._read(_PLOTLY))})

    def respond(self, name: str, *, gzip: bool) -> Response:
        """The file, compressed if the browser accepts it."""
        if name not in self._versions:
            raise NotFound
        kind = _TYPES[name.rpartition(".")[2]] + "; charset=utf-8"
        if not gzip:
            return Response(self._read(name), content_type=kind, headers=_HEADERS)
        with self._packing:  # other requests run meanwhile, and must not pack the same file again
            if name not in self._packed:
                self._packed[name] = _pack(self._read(name))
        return Response(
            self._packed[name], content_type=kind, headers=_HEADERS | {"Content-Encoding": "gzip"}
        )

    def _read(self, name: str) -> bytes:
        if name not in self._files:
            self._files[name] = resources.files("plotly").joinpath("package_data", name).read_bytes()
        return self._files[name]


@cache
def assets() -> Assets:
    """The files of this process."""
    return Assets()


def asset(request: PublicRequest, name: str) -> Response:
    """One file."""
    is_usual = len(request.http.environ.get("HTTP_ACCEPT_ENCODING", "")) <= _LONGEST_ENCODINGS
    return assets().respond(name, gzip=is_usual and bool(request.http.accept_encodings["gzip"]))


def _pack(body: bytes) -> bytes:
    """gzip in small steps, so that other requests of this worker run between them."""
    packer = zlib.compressobj(6, wbits=31)
    parts = []
    for start in range(0, len(body), _STEP):
        parts.append(packer.compress(body[start : start + _STEP]))
        time.sleep(0)
    return b"".join([*parts, packer.flush()])


PAGES = (Page("GET", "/static/<name>", asset, is_public=True),)
