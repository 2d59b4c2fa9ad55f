"""What an account holds, as its exchange says: coins, positions, and whether it is set up as the engine counts on."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from engine.domain.instruments import InstrumentKey, Kind
from engine.domain.portfolio import Balance, VenuePosition
from engine.exchanges.connected.asking import Parts
from engine.exchanges.connected.dialects import Modes, Wallet
from engine.exchanges.connected.fields import Unreadable
from engine.exchanges.connected.lanes import Lane
from engine.exchanges.connected.legs import KeptOrder, Leg
from engine.exchanges.connected.reading import ACCOUNT, with_sizes

ZERO = Decimal(0)


class Holdings:
    """Balances and positions of one venue."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._dialect = parts.row.dialect
        self._weight = parts.row.limits.weights.account
        self._balances: tuple[Balance, ...] = ()
        self._held: dict[str, Decimal] = {}
        self._asked_positions = False

    def balances(self) -> tuple[Balance, ...]:
        """Every coin above zero of the venue's own wallets, by name; raises `VenueUnreachable`."""
        sums: dict[str, Balance] = {}
        for wallet in self._dialect.wallets:
            for parameters in self._wallet_questions(wallet):
                for told in self._ask_balances(wallet, parameters):
                    before = sums.get(told.currency)
                    sums[told.currency] = told if before is None else _sum(before, told)
        self._balances = tuple(sums[coin] for coin in sorted(sums))
        return self._balances

    @property
    def known_balances(self) -> tuple[Balance, ...]:
        """What `balances` last told, without asking."""
        return self._balances

    def _wallet_questions(self, wallet: Wallet) -> Iterator[dict[str, Any]]:
        if not wallet.per_coin:
            yield dict(wallet.parameters)
            return
        for coin in self._parts.quotes(Kind.PERPETUAL):
            yield {**wallet.parameters, "code": coin}

    def _ask_balances(self, wallet: Wallet, parameters: dict[str, Any]) -> tuple[Balance, ...]:
        reader = self._parts.reader

        def question(client: Any) -> tuple[Balance, ...]:
            return reader.balances(client.fetch_balance(parameters), wallet)

        return self._parts.line.ask(Lane.STATUS, question, self._weight)

    def positions(self) -> tuple[VenuePosition, ...]:
        """Every derivative position, by instrument; raises `VenueUnreachable`."""
        if Kind.PERPETUAL not in self._parts.kinds:
            return ()
        found: list[VenuePosition] = []
        for extra in self._position_questions():
            rows = self._ask_positions(None, extra)
            found += [each for each in map(self._parts.reader.position, rows) if each is not None]
        self._held = {each.instrument: each.quantity for each in found}
        self._asked_positions = True
        return tuple(sorted(found, key=lambda each: each.instrument))

    def _position_questions(self) -> Iterator[dict[str, Any]]:
        if not self._dialect.positions_per_quote:
            yield {}
            return
        for quote in self._parts.quotes(Kind.PERPETUAL):
            yield {"type": "swap", "subType": "linear", self._dialect.positions_per_quote: quote}

    def _ask_positions(self, symbols: list[str] | None, extra: dict[str, Any]) -> list[dict[str, Any]]:
        def question(client: Any) -> list[dict[str, Any]]:
            return with_sizes(client, client.fetch_positions(symbols, extra))

        return self._parts.line.ask(Lane.STATUS, question, self._weight)

    def held(self, key: str) -> Decimal | None:
        """Signed base of a position as far as known from the last look and the fills since; None before the first."""
        return self._held.get(key, ZERO) if self._asked_positions else None

    def note(self, order: KeptOrder, leg: Leg) -> None:
        """Count what an order has executed since the last look."""
        change, leg.noted = leg.done - leg.noted, leg.done
        if self._asked_positions and change:
            key = order.intent.instrument
            self._held[key] = self._held.get(key, ZERO) + change * order.intent.side.sign

    # -- how the account is set up --------------------------------------------------------------------------------

    def mode_problems(self) -> dict[InstrumentKey, str]:
        """Perpetuals that must not be traded as the account is set up now, and why; raises `VenueUnreachable`.

        The engine counts on one position for each instrument, and on margin by the leverage it plans with.
        """
        problems: dict[InstrumentKey, str] = {}
        for key, listed in self._parts.listed.items():
            if listed.instrument.kind is not Kind.PERPETUAL or self._dialect.modes is Modes.NONE:
                continue
            hedged, leverage = self._mode_of(listed.instrument.symbol)
            planned = listed.instrument.max_leverage
            if hedged:
                problems[key] = f"{key} is in hedge mode at the exchange; set it to one-way mode there"
            elif leverage is not None and leverage < planned:
                problems[key] = (
                    f"{key} has leverage {leverage} at the exchange, the engine plans with {planned}; "
                    f"raise it there, or lower it in the settings"
                )
        return problems

    def _mode_of(self, symbol: str) -> tuple[bool, Decimal | None]:
        """Whether the symbol is in hedge mode, and its leverage; None where the account's is the exchange's highest."""
        if self._dialect.modes is Modes.IN_POSITIONS:
            rows = self._ask_positions([symbol], {})
            if not rows:
                raise Unreadable(f"{self._parts.row.name} does not say how {symbol} is set up")
            return any(row.get("hedged") for row in rows), _leverage(rows[0].get("leverage"))

        def question(client: Any) -> tuple[bool, Any]:
            asked = self._dialect.modes is Modes.ASKED
            hedged = client.fetch_position_mode(symbol)["hedged"] if asked else False
            told = client.fetch_leverage(symbol)
            return bool(hedged), told.get("longLeverage")

        hedged, leverage = self._parts.line.ask(Lane.STATUS, question, self._weight)
        return hedged, _leverage(leverage)


def _sum(one: Balance, other: Balance) -> Balance:
    return Balance(one.venue, ACCOUNT, one.currency, one.total + other.total, one.free + other.free)


def _leverage(value: Any) -> Decimal | None:
    """A leverage above zero; what is not told is not known."""
    try:
        told = Decimal(str(value))
    except ArithmeticError:
        return None
    return told if told.is_finite() and told > 0 else None
