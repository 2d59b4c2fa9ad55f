"""A choice of paper feed that the engine refuses leaves no trace in the settings of the next start."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.domain.commands import Actor, Role
from engine.domain.errors import BadInput
from engine.runtime.operations import Operations


def operations(stored: list[tuple[str, Any]], refusal: str = "") -> Operations:
    def switch(book: str, settings: object, *, wanted: bool) -> None:
        assert book == "paper"
        assert not stored, "what could be refused is asked for before it is stored"
        if refusal:
            raise BadInput(refusal)

    def put(section: str, name: str, value: Any, actor: str) -> None:
        stored.append((name, value))

    store = SimpleNamespace(values=lambda section: {}, put=put)
    control = SimpleNamespace(settings=store, audit=SimpleNamespace(append=lambda *rest: None))
    supervisor = SimpleNamespace(switch_book=switch, settings=None)
    services = cast(Any, SimpleNamespace(control=control, supervisor=supervisor))
    return Operations(services, lambda: Actor("somebody", Role.OPERATOR, "console"), "session")


def test_start_paper_feed_when_refused_then_nothing_is_stored() -> None:
    stored: list[tuple[str, Any]] = []
    with pytest.raises(BadInput, match="still holds"):
        operations(stored, "paper still holds 1 binance:BTC/USDT").start_paper_feed("kraken", ["BTC/USDT"], "1m")
    assert stored == []


def test_start_paper_feed_when_it_runs_then_stored_for_the_next_start() -> None:
    stored: list[tuple[str, Any]] = []
    operations(stored).start_paper_feed("kraken", ["BTC/USDT"], "1m")
    assert dict(stored)["paper.exchange"] == "kraken"
    assert dict(stored)["paper.enabled"] is True
