"""Runs one workload whenever it is asked for on stdin, and answers with a line of JSON; used by the peers' scripts."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping

Work = Callable[[], tuple[int, float]]
"""Gives trades and final equity."""


def serve(works: Mapping[str, Callable[[], Work]]) -> None:
    """Answer until stdin ends. A workload is prepared when it is first asked for; only its own run is timed."""
    ready: dict[str, Work] = {}
    for line in sys.stdin:
        name = line.strip()
        if name not in ready:
            ready[name] = works[name]()
        started = time.perf_counter()
        trades, final_equity = ready[name]()
        seconds = time.perf_counter() - started
        print(json.dumps({"seconds": seconds, "trades": trades, "final_equity": final_equity}), flush=True)
