"""What an order that takes pays for its size: by hand, one candle a rule."""

from __future__ import annotations

from decimal import Decimal

import pytest
from paper_market import BUY, FREE, LIMIT, SELL, STOP, SPOT, bar, fills, open_venue, order

IMPACT = FREE.model_copy(update={"impact": Decimal(1)})
