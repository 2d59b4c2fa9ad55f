"""What a gateway remembers stays bounded, however long it runs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from connected_case import client_id, intent

from engine.domain.errors import OrderNotFound
from engine.domain.orders import OrderState, OrderType, Purpose, Side
from engine.exchanges.connected import finding, registry
from engine.exchanges.connected.finding import Finder
from engine.exchanges.connected.registry import Registry

SYMBOL = "BTC/USDT:USDT"


def stop(number: int, parent: int) -> Any:
    return intent(
        number, SYMBOL, Side.SELL, "0.1", OrderType.STOP, Purpose.STOP, stop_price="49000", parent_id=parent
    )  # fmt: skip


def test_stops_replaced_without_end_then_only_remembered_ones_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "REMEMBERED", 10)
    kept = Registry(lambda _client_id: None)
    kept.add(intent(1, SYMBOL, Side.BUY, "0.1"))
    for number in range(2, 200):
        kept.add(stop(number, parent=1)).end(OrderState.CANCELLED, "replaced")
    assert [order.client_id for order in kept.children(client_id(1))] == [client_id(n) for n in range(191, 200)]
    assert sum(len(children) for children in kept._children.values()) == 9
    assert len(list(kept)) == 10


def test_orders_never_found_then_the_oldest_looks_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "REMEMBERED_MISSING", 5)

    def unknown(*_: Any, **__: Any) -> None:
        raise OrderNotFound("unknown")

    wanted = stop(2, parent=1)
    listed = {wanted.instrument: SimpleNamespace(instrument=SimpleNamespace(symbol=SYMBOL))}
    parts: Any = SimpleNamespace(listed=listed)
    asker: Any = SimpleNamespace(order=unknown)
    clock: Any = SimpleNamespace(monotonic=lambda: 0.0)
    finder, kept = Finder(parts, asker, SimpleNamespace(), clock), Registry(lambda _client_id: None)  # type: ignore[arg-type]
    for number in range(2, 50):
        with pytest.raises(OrderNotFound):
            finder.find(kept.add(stop(number, parent=1)))
    assert list(finder._missing) == [client_id(number) for number in range(45, 50)]
