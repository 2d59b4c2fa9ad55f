"""Keeps the garbage collector from stopping the engine to look at what never becomes garbage.

A full collection visits every object of the process: libraries, pages and compiled functions make that 0.1 s and more,
during which no thread runs. What is alive after the start is therefore set aside once, and again now and then, so that
a collection visits only what came since.
"""

from __future__ import annotations

import gc

AGAIN_EVERY_S = 3600.0
FIRST_AGAIN_S = 30.0
"""The first pages are drawn, and the modules they need loaded, some time after the start."""


def set_aside_new() -> None:
    """Collect and set aside what came since the last time; takes as long as that is much."""
    gc.collect()
    gc.freeze()


def set_aside() -> None:
    """Collect everything, what was set aside before included, and set aside what is left; takes a few 0.1 s."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """At the end of the process: libraries that count what is left of theirs must find it collectable again."""
    gc.unfreeze()
