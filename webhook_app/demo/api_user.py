"""A user of the demo's API: reads what the demo shows, and works through the list of suppressions."""

from collections import Counter
from datetime import datetime
from typing import Any

import httpx

_OPTED_OUT_BY_PHONE = "12025550188"
_IMPORTED = "".join(f"+1312555{number:04}\n" for number in range(100, 125))


class ApiUser:
    """Calls the API of one service with an admin key."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._headers = url, {"Authorization": f"Bearer {key}"}

    def incidents_by_kind(self) -> dict[str, int]:
        """Count the incidents, by kind, the most frequent first."""
        found = self._get("/v1/incidents?limit=1000")["incidents"]
        return dict(Counter(incident["kind"] for incident in found).most_common())

    def open_findings(self) -> list[str]:
        """Return the titles of the open findings, the newest first."""
        return [finding["title"] for finding in self._get("/v1/findings?state=open")["findings"]]

    def any_open_since(self, since: datetime) -> bool:
        """Whether an incident that opened at or after `since` is still open."""
        found = self._get("/v1/incidents?state=open")["incidents"]
        return any(datetime.fromisoformat(incident["opened_at"]) >= since for incident in found)

    def unreachable(self) -> set[str]:
        """Return the contacts suppressed as unreachable."""
        rows = self._get("/v1/suppressions?reason=unreachable&scope=all&limit=1000")["suppressions"]
        return {row["contact"] for row in rows}

    def check(self, contact: str) -> str:
        """Return the answer to a sender's check of one contact, as text."""
        answer = self._get(f"/v1/check/{contact}")
        shown = ("contact", "allowed", "verdict", "reason", "code", "until")
        return " ".join(f"{name}={answer[name]}" for name in shown)

    def books(self) -> dict[str, int]:
        """Return the number of items by outcome."""
        found = self._get("/v1/books")
        return {name: found[name] for name in ("received", "applied", "duplicate", "ignored", "quarantined")}

    def has_undelivered_notifications(self) -> bool:
        """Whether a notification still waits to be sent."""
        lines = httpx.get(f"{self._url}/metrics", timeout=10).text.splitlines()
        waiting = [line for line in lines if line.startswith("webhook_app_notifications_undelivered{")]
        return any(not line.endswith(" 0.0") for line in waiting)

    def edit_suppressions(self) -> None:
        """Confirm and lift some suppressions under review, add one by hand, and import a file."""
        rows = self._get("/v1/suppressions?review=true&limit=1000")["suppressions"]
        waiting = sorted({row["contact"] for row in rows})
        for action, chosen in (("confirm", waiting[:3]), ("lift", waiting[3:4])):
            if chosen:
                items = [{"contact": contact} for contact in chosen]
                self._send("POST", "/v1/suppressions/review", {"action": action, "items": items})
        self._send("PUT", f"/v1/suppressions/{_OPTED_OUT_BY_PHONE}", {"note": "asked on the phone"})
        answer = httpx.post(
            f"{self._url}/v1/suppressions/import?note=from+the+old+system",
            content=_IMPORTED,
            headers=self._headers | {"Content-Type": "text/csv"},
            timeout=10,
        )
        answer.raise_for_status()

    def _get(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._send("GET", path)
        return answer

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = httpx.request(method, self._url + path, json=body, headers=self._headers, timeout=10)
        return answer.raise_for_status().json()
