"""The entries of the navigation, in the order shown."""

from msgspec import Struct


class NavigationEntry(Struct, frozen=True):
    """One entry of the navigation."""

    path: str
    label: str

    def aria_current(self, path: str) -> str:
        """The attribute aria-current while `path` is shown: page, true (a page below it) or empty."""
        if path == self.path:
            return "page"
        return "true" if self.path != "/" and path.startswith(f"{self.path}/") else ""


NAVIGATION = (
    NavigationEntry("/", "Overview"),
    NavigationEntry("/alerts", "Alerts"),
    NavigationEntry("/failures", "Failures"),
    NavigationEntry("/contacts", "Contacts"),
    NavigationEntry("/suppressions", "Suppressions"),
    NavigationEntry("/rules", "Rules"),
    NavigationEntry("/system", "System"),
    NavigationEntry("/docs", "API"),
)
