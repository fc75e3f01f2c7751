"""Waiting for what another process or thread does."""

import time
from collections.abc import Callable
from typing import Any


def wait_for(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """Return the result of `condition` once it is true. An OSError counts as false; the test fails after `seconds`.

    It asks less often as time passes: asking costs the processor that the other process needs.
    """
    deadline, pause = time.monotonic() + seconds, 0.01
    while time.monotonic() < deadline:
        try:
            if found := condition():
                return found
        except OSError:
            pass
        time.sleep(pause)
        pause = min(0.1, pause * 1.3)
    raise AssertionError(f"the condition did not come true within {seconds:g} s")
