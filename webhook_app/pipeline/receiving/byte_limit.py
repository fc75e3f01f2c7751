"""Limits how many bytes of bodies are worked on at a time. Knows no deliveries."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class ByteLimit:
    """At most `most` bytes at a time, in the order of arrival. A larger body is worked on alone."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._first = threading.Lock()  # held by the body that waits for room; the others wait for the lock
        self._released = threading.Condition()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Wait for room for so many bytes, and hold it."""
        size = min(size, self._most)
        with self._first, self._released:
            self._released.wait_for(lambda: self._held + size <= self._most)
            self._held += size
        try:
            yield
        finally:
            with self._released:
                self._held -= size
                self._released.notify()
