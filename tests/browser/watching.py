"""What a browser complains of, and whom it talks to: collected while pages are used, judged at the end."""

from urllib.parse import urlsplit

from playwright.sync_api import ConsoleMessage, Page, Request, Response


class Watch:
    """`faults`: console errors and warnings, exceptions, requests to other hosts, answers that failed."""

    def __init__(self) -> None:
        self._hosts: set[str] = set()
        self.faults: list[str] = []

    def over(self, page: Page, address: str) -> None:
        """Look at this page from now on; it may talk to this address."""
        self._hosts.add(urlsplit(address).netloc)
        page.on("console", self._console)
        page.on("pageerror", lambda fault: self.faults.append(f"exception: {fault}"))
        page.on("request", self._request)
        page.on("response", self._response)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob", "about") and parts.netloc not in self._hosts:
            self.faults.append(f"another host: {request.url}")

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self.faults.append(f"{response.status}: {response.request.method} {response.url}")
