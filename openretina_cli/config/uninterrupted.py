"""Stretches of code that an interrupt must not fall into."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
INTERRUPTS = tuple(getattr(signal, name) for name in NAMES if hasattr(signal, name))  # Windows has no SIGHUP


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold interrupts back until the block is over.

    For work on OmegaConf's nodes: an exception out of the blue leaves them half changed, so that another error takes
    its place, or is swallowed, and the sweep goes on. Signals reach the main thread only; in others this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = {number: signal.signal(number, lambda number, _: held.append(number)) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for first in held[:1]:
            signal.raise_signal(first)
