"""Keeps values that took long to read, so that no client can make the service read them again and again."""

import threading
from collections.abc import Callable, Hashable
from time import monotonic
from typing import Any, TypeVar

SLOW_S = 0.2
_KEPT_FOR = 20  # times as long as reading took: at most a twentieth of the time is spent on it
_FAULTS_KEPT_S = 60.0
_MOST_KEPT = 500

Value = TypeVar("Value")


class _KeptRead:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.until = 0.0
        self.value: Any = None
        self.fault: Exception | None = None


class SlowReads:
    """One reader per key at a time. A value, or a fault, that took less than SLOW_S is not kept."""

    def __init__(self) -> None:
        self._entries: dict[Hashable, _KeptRead] = {}

    def get(self, key: Hashable, read: Callable[[], Value], *, kept_s: float = 0.0) -> Value:
        """The value of `read`, or the one that another call got a short time ago.

        `kept_s`: for how long a value is kept at least.
        """
        if len(self._entries) >= _MOST_KEPT:
            self._entries.clear()
        entry = self._entries.setdefault(key, _KeptRead())
        with entry.lock:
            began = monotonic()
            if began >= entry.until:
                entry.value, entry.fault = None, None
                try:
                    entry.value = read()
                except Exception as fault:  # noqa: BLE001  it is raised below, to each caller
                    entry.fault = fault.with_traceback(None)
                took = monotonic() - began
                kept = _KEPT_FOR * took if entry.fault is None else min(_KEPT_FOR * took, _FAULTS_KEPT_S)
                kept = kept if took >= SLOW_S else 0.0
                entry.until = monotonic() + (kept if entry.fault is not None else max(kept, kept_s))
            if entry.fault is not None:
                raise entry.fault.with_traceback(None)
            found: Value = entry.value
            return found
