"""Wallets, risk figures and strategy forms: computed here from the snapshot, drawn by pages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np

from config.settings import BookSettings, ConnectedSettings
from engine.domain.errors import BadInput
from engine.domain.instruments import InstrumentKey, Kind, venue_of
from engine.domain.market import FloatArray
from engine.domain.portfolio import BookSnapshot
from engine.domain.views import Figure, FormField, StrategyForm
from engine.domain.wallet_views import HoldingRow, MoneyKind, RiskView, StressRow, WalletGroup, WalletView
from engine.quant.stress import SCENARIOS
from engine.risk import figures
from engine.risk.limits import RiskConfig, limit_rows
from engine.runtime.forms import form_of
from engine.runtime.records import Records
from engine.runtime.valuation import Prices
from engine.runtime.wallet_rows import Appraiser, holdings, kind_of, owners_of
from engine.runtime.wallet_shelf import KnownAccounts
from engine.strategies import TRADED

ZERO = Decimal(0)
HOUR_BARS = {"1m": 60, "5m": 12, "15m": 4, "1h": 1}
HISTORY_BARS = 20_000


class Portfolio(Records):
    """What is held, where, and what it could lose."""

    def wallets(self, currency: str) -> WalletView:
        """Every balance on every simulated or connected venue, valued in one currency, kind by kind."""
        books = self.snapshot().books
        known = self._accounts()
        appraiser = Appraiser(books, self._connected_prices())
        base = books[0].base_currency
        rate = appraiser.rate(base, currency)
        if rate is None:
            raise BadInput(f"there is no rate for {currency}; choose one of {', '.join(appraiser.currencies())}")
        rows = [appraiser.row(row, base, currency) for row in holdings(books, known.holdings)]
        groups = (self._group(kind, rows, books, rate.price) for kind in MoneyKind)
        return WalletView(
            currency=currency,
            groups=tuple(group for group in groups if group is not None),
            accounts=known.reads(),
            priced_at=max(_market_times(books), default=None),
        )

    def _group(
        self, kind: MoneyKind, rows: Iterable[HoldingRow], books: Iterable[BookSnapshot], rate: Decimal
    ) -> WalletGroup | None:
        """The rows of one kind with their sums and risk; None where there are none."""
        mine = [row for row in rows if row.kind is kind]
        if not mine:
            return None
        total = sum((row.value for row in mine if row.value is not None), ZERO)
        shared = tuple(_with_share(row, total) for row in sorted(mine, key=_by_value))
        risk = self._risk(books, _wallet_holdings(mine, rate), total / rate, _at_venues(mine, rate))
        return WalletGroup(
            kind=kind,
            total=total,
            holdings=shared,
            unpriced=tuple(f"{r.total} {r.currency} at {r.venue}" for r in shared if r.value is None),
            by_coin=_grouped((r.currency, r.value) for r in shared),
            by_venue=_grouped((r.venue, r.value) for r in shared),
            risk=_of_holdings(risk),
            owners=owners_of(kind, mine, books, rate),
        )

    def _accounts(self) -> KnownAccounts:
        """What connected accounts hold, as last read."""
        return self._services.wallets.known()

    def _connected_prices(self) -> Prices:
        """What connected exchanges say that coins are worth, as last read."""
        return self._services.wallets.prices

    def convert(self, amount: Decimal, currency: str) -> tuple[Decimal, str] | None:
        """Base currency to a display currency, with the rate's source."""
        books = self.snapshot().books
        worth = Appraiser(books, self._connected_prices()).rate(books[0].base_currency, currency)
        return None if worth is None else (amount * worth.price, worth.source or "base currency")

    def risk(self, book: str) -> RiskView:
        """Exposure, tail risk and stress of a book's positions."""
        snapshot = self.snapshot().book(book)
        coins = {i.key: i.base for i in snapshot.instruments}
        held = [
            figures.Holding(coins[p.instrument], venue_of(p.instrument), p.notional)
            for p in snapshot.positions
            if p.notional is not None
        ]
        equity = snapshot.equity if snapshot.is_valued else None
        return self._risk((snapshot,), held, equity, _book_at_venues(snapshot))

    def _risk(
        self,
        books: Iterable[BookSnapshot],
        held: list[figures.Holding],
        equity: Decimal | None,
        at_venues: Mapping[str, Decimal],
    ) -> RiskView:
        exposure = figures.exposure(held, equity)
        notionals = {part.name: part.notional for part in exposure.coins}
        returns = self._hourly_returns(books, set(notionals))
        tails = figures.tail_risk(notionals, returns, equity)
        coins = tuple(returns)
        table = figures.correlation(returns, coins)
        hours = min((len(r) for r in returns.values()), default=0)
        stress = (*figures.stress_rows(notionals, equity), *figures.venue_loss_rows(at_venues, equity))
        return RiskView(
            figures=(*_exposure_figures(exposure), *_tail_figures(tails)),
            exposures=tuple((p.name, p.notional, p.notional / equity if equity else ZERO) for p in exposure.coins),
            coins=coins,
            correlation=tuple(tuple(float("nan") if v is None else v for v in row) for row in table.matrix),
            stress=tuple(_stress(row) for row in stress),
            observations=hours,
        )

    def _hourly_returns(self, books: Iterable[BookSnapshot], coins: set[str]) -> dict[str, FloatArray]:
        """Simple returns over whole hours of the books' own candles, one series a coin, cut to one length."""
        found: dict[str, FloatArray] = {}
        for book in books:
            for instrument in book.instruments:
                if instrument.base in coins and instrument.base not in found:
                    series = self._closes(book.name, instrument.key)
                    if len(series) > 1:
                        found[instrument.base] = series[1:] / series[:-1] - 1.0
        length = min((len(r) for r in found.values()), default=0)
        return {coin: found[coin][len(found[coin]) - length :] for coin in sorted(found)}

    def _closes(self, book: str, key: InstrumentKey) -> FloatArray:
        candles = self._history(book, key, HISTORY_BARS)
        step = HOUR_BARS.get(str(candles.timeframe), 1)
        return np.ascontiguousarray(candles.close[::-1][::step][::-1])

    def risk_form(self, book: str) -> tuple[FormField, ...]:
        """The book's limits as a form; shares of equity are entered in percent."""
        units = {row.name: row.unit for row in limit_rows(RiskConfig())}
        first = self._services.settings.settings.risk.model_dump(mode="json")
        return form_of(RiskConfig, json.loads(self.snapshot().book(book).risk), first, units)

    def strategies(self, book: str) -> tuple[StrategyForm, ...]:
        """Every registered strategy with the form of its configuration in this book."""
        present = {s.strategy: json.loads(s.values) for s in self.snapshot().book(book).sleeves}
        first = self._first_settings(book)
        return tuple(
            StrategyForm(
                kind.name,
                kind.title,
                kind.summary,
                form_of(kind.config, present.get(kind.name, {}), first.get(kind.name, {})),
            )
            for kind in TRADED.values()
        )

    def _first_settings(self, book: str) -> Mapping[str, Mapping[str, Any]]:
        """What each strategy of a book is set to at the book's first start, by strategy."""
        settings = self._services.settings.settings
        started: dict[str, BookSettings | ConnectedSettings] = {
            "demo": settings.demo,
            "paper": settings.paper,
            "testnet": settings.testnet,
            "live": settings.live,
        }
        return started[book].strategy_settings if book in started else {}


def _market_times(books: Iterable[BookSnapshot]) -> list[datetime]:
    """How far the markets of play money are: they have a time of their own."""
    simulated = (book for book in books if kind_of(book) is MoneyKind.SIMULATED)
    return [book.market_time for book in simulated if book.market_time is not None]


def _with_share(row: HoldingRow, total: Decimal) -> HoldingRow:
    return replace(row, share=row.value / total if row.value is not None and total else None)


def _by_value(row: HoldingRow) -> tuple[Decimal, str, str]:
    return (-(row.value or ZERO), row.venue, row.currency)


def _grouped(values: Iterable[tuple[str, Decimal | None]]) -> tuple[tuple[str, Decimal], ...]:
    sums: dict[str, Decimal] = {}
    for name, value in values:
        if value is not None:
            sums[name] = sums.get(name, ZERO) + value
    return tuple(sorted(sums.items(), key=lambda item: (-item[1], item[0])))


def _at_venues(rows: Iterable[HoldingRow], rate: Decimal) -> dict[str, Decimal]:
    """Everything held at each venue, cash included, base currency."""
    sums: dict[str, Decimal] = {}
    for row in rows:
        sums[row.venue] = sums.get(row.venue, ZERO) + (row.value or ZERO) / rate
    return sums


def _book_at_venues(book: BookSnapshot) -> dict[str, Decimal]:
    """What the engine itself holds at each venue: cash, coins and open P&L, base currency."""
    sums: dict[str, Decimal] = {}
    for balance in book.balances:
        if balance.currency == book.base_currency:
            sums[balance.venue] = sums.get(balance.venue, ZERO) + balance.engine_owned
    spot = {i.key for i in book.instruments if i.kind is Kind.SPOT}
    for position in book.positions:
        worth = position.notional if position.instrument in spot else position.unrealised
        venue = venue_of(position.instrument)
        sums[venue] = sums.get(venue, ZERO) + (worth or ZERO)
    return sums


def _wallet_holdings(rows: Iterable[HoldingRow], rate: Decimal) -> list[figures.Holding]:
    return [
        figures.Holding(row.currency, row.venue, row.value / rate)
        for row in rows
        if row.value and row.price_source != "base currency"
    ]


def _of_holdings(view: RiskView) -> RiskView:
    """The figures under names for wallets: their whole is every holding, one's own coins too, and not the equity."""
    named = (replace(figure, name=figure.name.replace("of equity", "of these holdings")) for figure in view.figures)
    return replace(view, figures=tuple(named))


def _exposure_figures(exposure: figures.Exposure) -> tuple[Figure, ...]:
    share = float(exposure.gross_share) if exposure.gross_share is not None else None
    net = float(exposure.net_share) if exposure.net_share is not None else None
    one = "1 is all in one" if exposure.coins else "nothing is held"
    return (
        Figure("Gross exposure", float(exposure.gross), "base", "sum of absolute notionals"),
        Figure("Net exposure", float(exposure.net), "base", "long less short"),
        Figure("Gross exposure of equity", share, "share", "" if share is not None else "equity is unknown"),
        Figure("Net exposure of equity", net, "share", "" if net is not None else "equity is unknown"),
        Figure("Concentration of coins (HHI)", exposure.coin_hhi, "index", one),
        Figure("Concentration of venues, cash apart (HHI)", exposure.venue_hhi, "index", one),
    )


def _tail_figures(tails: Iterable[figures.TailFigure]) -> tuple[Figure, ...]:
    found = []
    for tail in tails:
        level = f"{tail.confidence:.0%}"
        reason = tail.reason.replace("days", "hours")
        note = reason or f"historical, n = {tail.observations} hours of the market's own candles"
        for name, value in (("VaR", tail.var), ("CVaR", tail.cvar)):
            amount = float(value) if value is not None else None
            found.append(Figure(f"{name} {level}, 1 hour", amount, "base", note))
    return tuple(found)


def _stress(row: figures.StressRow) -> StressRow:
    share = -float(row.share) if row.share is not None else None
    proxy = "; ".join(text for text in (row.proxy, row.caveat) if text)
    scenario = SCENARIOS.get(row.scenario)
    window = f"{scenario.first_day} to {scenario.last_day}" if scenario else "any day"
    return StressRow(row.title, window, -float(row.loss), share, proxy)
