"""How often a process looks for cycles among its objects. A batch and an evaluation make thousands, and no cycles."""

import gc

_ROUND = 100_000  # objects made before cycles are looked for


def look_seldom() -> None:
    """Keep the cycle collector away from what lives as long as the process, and from every single piece of work."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ROUND, 10, 10)
