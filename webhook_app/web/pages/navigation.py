"""The entries of the navigation, in the order shown."""

from msgspec import Struct


class NavigationEntry(Struct, frozen=True):
    """One entry of the navigation."""

    path: str
    label: str
    also: tuple[str, ...] = ()
    """Further paths of the same area."""

    def aria_current(self, path: str) -> str:
        """The attribute aria-current while `path` is shown: page, true (a page below it) or empty."""
        if path == self.path:
            return "page"
        areas = [f"{each}/" for each in (self.path, *self.also) if each != "/"]
        return "true" if f"{path}/".startswith(tuple(areas)) else ""


NAVIGATION = (
    NavigationEntry("/", "Overview"),
    NavigationEntry("/incidents", "Incidents", also=("/alerts",)),
    NavigationEntry("/findings", "Findings"),
    NavigationEntry("/failures", "Failures"),
    NavigationEntry("/contacts", "Contacts"),
    NavigationEntry("/suppressions", "Suppressions"),
    NavigationEntry("/rules", "Rules"),
    NavigationEntry("/system", "System", also=("/doctor", "/templates", "/billing")),
    NavigationEntry("/docs", "API"),
)
