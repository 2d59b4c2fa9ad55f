"""Cross-validation of a choice: which trial some days would have chosen, a split a piece of work."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.domain.market import FloatArray
from engine.quant.validation import Split

_NO_VARIANCE = 1e-15


@dataclass(frozen=True, slots=True, eq=False)
class SelectionWork:
    """Daily returns of the trials that are chosen among; float64[d, n], a column each."""

    table: FloatArray

    def run(self, split: Split) -> int:
        """Column of the trial with the largest Sharpe ratio on the training days, the first of equals."""
        learned = self.table[split.train]
        deviations = learned.std(axis=0, ddof=1)
        known = deviations > _NO_VARIANCE
        sharpes = np.divide(learned.mean(axis=0), deviations, out=np.zeros(len(deviations)), where=known)
        return int(np.argmax(sharpes))
