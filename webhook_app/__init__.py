"""Receives WhatsApp Cloud API webhooks, counts failures, sends alerts, and answers whom not to message."""

import gc

_GC_THRESHOLD = 100_000  # objects; a batch or an evaluation makes thousands, without cycles


def collect_garbage_rarely() -> None:
    """Exempt the objects of process start from the cycle collector, and run it rarely afterwards."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 10, 10)
