"""Lets others run between the pieces of a long search: other requests of a web worker, or other threads."""

from time import monotonic, sleep

_TURN_S, _PAUSE_S = 0.003, 1e-6  # a pause of 0 would not let the event loop poll


class GivingWay:
    """Called between two pieces, however small they are."""

    def __init__(self) -> None:
        self._last = monotonic()

    def __call__(self) -> bool:
        """Pause if that was long ago; returns whether it did."""
        if monotonic() - self._last <= _TURN_S:
            return False
        sleep(_PAUSE_S)
        self._last = monotonic()
        return True
