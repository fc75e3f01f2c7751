"""The pages by name, in the order the navigation shows them. Each room's module serves its own."""

from functools import cache

from flask import Flask, current_app
from msgspec import Struct


class NavigationEntry(Struct, frozen=True):
    """One entry of the navigation."""

    path: str
    words: str

    def marks(self, path: str) -> str:
        """What `aria-current` says of this entry while `path` is shown: page, true (a page below it) or nothing."""
        if path == self.path:
            return "page"
        return "true" if self.path != "/" and path.startswith(f"{self.path}/") else ""


PAGES = (
    NavigationEntry("/", "Overview"),
    NavigationEntry("/alerts", "Alerts"),
    NavigationEntry("/failures", "Failures"),
    NavigationEntry("/contacts", "Contacts"),
    NavigationEntry("/suppressions", "Suppressions"),
    NavigationEntry("/rules", "Rules"),
    NavigationEntry("/system", "System"),
    NavigationEntry("/docs", "API"),
)


def pages() -> tuple[NavigationEntry, ...]:
    """Those that this application serves."""
    return _served(current_app._get_current_object())  # type: ignore[attr-defined]  # noqa: SLF001


@cache
def _served(app: Flask) -> tuple[NavigationEntry, ...]:
    rules = {rule.rule for rule in app.url_map.iter_rules()}
    return tuple(page for page in PAGES if page.path in rules)
