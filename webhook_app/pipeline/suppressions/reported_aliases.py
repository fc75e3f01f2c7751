"""Aliases for the checks of an API key. Most keys have none, so that is remembered for some seconds."""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from webhook_app.store.postgres.engine import Connection
from webhook_app.store.sends import aliases

REMEMBERED_FOR = timedelta(seconds=10)


class ReportedAliases:
    """Looks up the aliases that API keys reported."""

    def __init__(self) -> None:
        self._without: dict[str, datetime] = {}
        """When an API key was last seen to have none."""

    def of(
        self, connect: Callable[[], Connection], api_key: str, contacts: Collection[str], now: datetime
    ) -> dict[str, str]:
        """Return the contact that each of these is an alias of for this API key, as its reports say."""
        seen = self._without.get(api_key)
        if not contacts or (seen is not None and abs(now - seen) < REMEMBERED_FOR):
            return {}
        if not aliases.any_of(connect(), api_key):
            self._without[api_key] = now
            return {}
        self._without.pop(api_key, None)
        return aliases.aliases_of(connect(), api_key, contacts)

    def forget(self, api_key: str) -> None:
        """Read the aliases again at the next check, because the API key has reported one."""
        self._without.pop(api_key, None)
