"""A progress bar for terminals; silent where nobody watches."""

from __future__ import annotations

import sys
import time
from types import TracebackType

_WIDTH = 28
_DRAW_EVERY_S = 0.1


class Progress:
    """One line on stderr, redrawn while work goes on and erased at its end."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._drawn_at = 0.0
        self._length = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._length:
            sys.stderr.write("\r" + " " * self._length + "\r")
            sys.stderr.flush()
            self._length = 0

    def __call__(self, share: float, text: str) -> bool:
        """Draw the share done (0 to 1) with what is being done; True, so that the work goes on."""
        now = time.monotonic()
        if self._shown and (now - self._drawn_at >= _DRAW_EVERY_S or share >= 1):
            self._drawn_at = now
            full = round(share * _WIDTH)
            line = f"[{'#' * full}{'.' * (_WIDTH - full)}] {share:4.0%}  {text}"[:110]
            sys.stderr.write("\r" + line.ljust(self._length))
            sys.stderr.flush()
            self._length = len(line)
        return True
