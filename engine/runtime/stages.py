"""Testnet and live as a signed-in person sets them up: which account, what they need, which strategies may join."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from decimal import Decimal

from config.settings import load
from engine.domain.commands import Role, TradingState
from engine.domain.conditions import VenueCondition, VenueState
from engine.domain.errors import BadInput
from engine.domain.operations_views import ConnectionView
from engine.domain.portfolio import BookSnapshot, SleeveView
from engine.domain.stage_views import CandidateView, StageCondition, StageView
from engine.exchanges import EXCHANGES
from engine.risk.limits import read_config
from engine.runtime.accounts import STAGES, Stage, connections_of, key_obstacle, require_fit
from engine.runtime.operations import Operations
from engine.runtime.titles import title_of
from engine.storage.settings import CONSOLE_SETTINGS
from engine.trading.graduation import RULES, Candidate, symbol_of, why_not

TITLES = {"testnet": "Testnet", "live": "Live"}


class StageDesk(Operations):
    """The stages at real exchanges."""

    def stages(self) -> tuple[StageView, ...]:
        """Testnet and live, whether they run or not."""
        running = {book.name: book for book in self.snapshot().books}
        connections = self.connections()
        return tuple(self._stage(stage, connections, running.get(stage.name)) for stage in STAGES.values())

    def start_stage(
        self, stage: str, connections: Sequence[str], symbols: Sequence[str], timeframe: str, capital: Decimal
    ) -> None:
        """Start a stage's book at connected accounts; what is refused is not stored."""
        self._require_right(stage, "starting the live book")
        changes = {
            f"{stage}.enabled": True,
            f"{stage}.connections": list(connections),
            f"{stage}.symbols": list(symbols),
            f"{stage}.timeframe": timeframe,
            f"{stage}.capital": str(capital),
        }
        store = self._services.control.settings
        settings = load(console={**store.values(CONSOLE_SETTINGS), **changes}).settings
        self._audit_change("book_on", stage, f"{', '.join(connections)}: {', '.join(symbols)}")
        self._services.supervisor.switch_book(stage, settings, wanted=True)
        for name, value in changes.items():
            store.put(CONSOLE_SETTINGS, name, value, self.actor.name)

    def stop_stage(self, stage: str) -> None:
        """Stop a stage's book; what it holds, and the stops that lie at the exchange, stay as they are."""
        self._require_right(stage, "stopping the live book")
        self._audit_change("book_off", stage, "")
        self._services.control.settings.put(CONSOLE_SETTINGS, f"{stage}.enabled", False, self.actor.name)
        self._services.supervisor.switch_book(stage, self._services.supervisor.settings, wanted=False)

    def candidates(self, to_book: str) -> tuple[CandidateView, ...]:
        """Every strategy of the books before a book, with what it has shown there and why it may not go on."""
        rule = RULES.get(to_book)
        if rule is None:
            return ()
        books = self.snapshot().books
        target = next((book for book in books if book.name == to_book), None)
        return tuple(
            self._candidate(book, sleeve, to_book, target)
            for book in books
            if book.stage in rule.before
            for sleeve in book.sleeves
            if sleeve.evidence is not None
        )

    # -- parts ----------------------------------------------------------------------------------------------------

    def _require_right(self, stage: str, what: str) -> None:
        if stage not in STAGES:
            raise BadInput(f"stage {stage!r}: choose one of {', '.join(STAGES)}")
        self.require(Role.OPERATOR)
        if not STAGES[stage].sandbox:
            self.require_step_up(what)

    def _stage(self, stage: Stage, connections: Sequence[ConnectionView], book: BookSnapshot | None) -> StageView:
        settings = self._services.supervisor.settings
        first = settings.stages[stage.name]
        fitting = tuple(each.connection_id for each in connections if each.has_keys and _fits(each, stage))
        stored = [each.connection_id for each in connections if each.has_keys]
        chosen = tuple(c for c in connections_of(settings, stage) if first.connections or c in stored)
        return StageView(
            stage.name,
            TITLES[stage.name],
            book is not None,
            chosen,
            fitting,
            _note(stage),
            first.symbols,
            first.timeframe,
            first.capital,
            settings.base_currency,
            tuple(_conditions(stage, book)),
            tuple((each, tuple(_needs(stage, each, connections, book))) for each in dict.fromkeys((*chosen, *fitting))),
        )

    def _candidate(
        self, book: BookSnapshot, sleeve: SleeveView, to_book: str, target: BookSnapshot | None
    ) -> CandidateView:
        refusal = f"the {to_book} book does not run; start it first"
        if target is not None:
            candidate = Candidate(
                sleeve.strategy,
                book.name,
                book.stage,
                sleeve.values,
                frozenset(symbol_of(key) for key in sleeve.instruments),
                sleeve.weight,
                sleeve.quarantined,
                sleeve.evidence,
            )
            most = read_config(target.risk).strategy_drawdown
            refusal = why_not(candidate, target.stage, most, [each.key for each in target.instruments])
        title = title_of(sleeve.strategy)
        words = RULES[to_book].words
        return CandidateView(sleeve.strategy, title, book.name, to_book, sleeve.evidence, words, refusal)


def _fits(connection: ConnectionView, stage: Stage) -> bool:
    try:
        require_fit(EXCHANGES[connection.exchange], connection.sandbox, stage)
    except BadInput:
        return False
    return True


def _note(stage: Stage) -> str:
    if not stage.sandbox:
        return "Real money. The key must be able to trade and proven unable to withdraw."
    without = [row.title for row in EXCHANGES.values() if not row.has_sandbox]
    own = " and ".join(row.title for row in EXCHANGES.values() if row.has_sandbox)
    return f"Play money at the sandbox of {own}. {', '.join(without[:-1])} and {without[-1]} (spot) have no sandbox."


def _needs(
    stage: Stage, account: str, connections: Sequence[ConnectionView], book: BookSnapshot | None
) -> list[StageCondition]:
    """What is needed of one account: that it is there and fits, and that its key works."""
    chosen = next((each for each in connections if each.connection_id == account), None)
    found = [_account(stage, account, chosen)]
    if chosen is not None:
        found.append(_key(chosen, book))
    return found


def _key(chosen: ConnectionView, book: BookSnapshot | None) -> StageCondition:
    """What is known of an account's key; while the book runs there, what its venues say comes first."""
    if not chosen.has_keys:
        return StageCondition("no key", "Key", False, "no key is stored for it yet")
    if book is not None:
        venues = {venue.name for venue in EXCHANGES[chosen.exchange].venues}
        refusing = _refusing(book, venues)
        if refusing is not None:
            refused = f"{refusing.venue} does not accept the key: give it a working one"
            return StageCondition("key", "Key", False, refused)
        why = next((why for name, why in book.obstacles if name in {key_obstacle(venue) for venue in venues}), "")
        if why:
            return StageCondition("key", "Key", False, why)
    said = chosen.check or "not checked yet"
    return StageCondition("key", "Key", chosen.check_ok if chosen.checked_at else None, said)


def _conditions(stage: Stage, book: BookSnapshot | None) -> list[StageCondition]:
    """What is needed whichever accounts the book has."""
    if book is None:
        return _not_known_yet(stage)
    found = [_compared(book, dict(book.obstacles).get("reconciliation", ""), _refusing(book))]
    if book.needs_arming:
        promoted = ", ".join(title_of(each.strategy) for each in book.promotions)
        found.append(StageCondition("promotion", "Strategies", bool(promoted), promoted or "none was promoted yet"))
        armed = "armed" if book.armed else f"not armed; the book is {book.state.value}: {book.state_reason}"
        found.append(StageCondition("arming", "Arming", book.armed, armed))
    active = book.state is TradingState.ACTIVE
    found.append(StageCondition("state", "Trading state", active, f"{book.state.value}: {book.state_reason}"))
    return found


def _refusing(book: BookSnapshot, venues: Collection[str] = ()) -> VenueCondition | None:
    """The venue (of these) that accepts the key no longer, whatever the last check of it said; None where all do."""
    told = (feed.condition for feed in book.feeds if not venues or feed.venue in venues)
    return next((each for each in told if each is not None and each.state is VenueState.LOCKED), None)


def _compared(book: BookSnapshot, differs: str, refusing: VenueCondition | None) -> StageCondition:
    """Whether books and exchange are equal as far as the exchange can be asked now."""
    why = differs or next((feed.awaits for feed in book.feeds if feed.awaits), "")
    if refusing is not None:
        at = f", {refusing.since:%Y-%m-%d %H:%M:%S} UTC" if refusing.since else ""
        why = f"not compared since {refusing.venue} is LOCKED{at}"
    return StageCondition("reconciliation", "Books and exchange", not why, why or "compared and found equal")


def _not_known_yet(stage: Stage) -> list[StageCondition]:
    """What shows only once the book runs; it then holds itself back until all of it is there."""
    later = "known once the book runs"
    found = [StageCondition("reconciliation", "Books and exchange", None, later)]
    if not stage.sandbox:
        found.append(StageCondition("promotion", "Strategies", None, later))
        found.append(StageCondition("arming", "Arming", False, "a book that does not run is never armed"))
    return found


def _account(stage: Stage, account: str, chosen: ConnectionView | None) -> StageCondition:
    if chosen is None:
        return StageCondition("connection", "Account", False, f"there is no connection {account!r}")
    try:
        require_fit(EXCHANGES[chosen.exchange], chosen.sandbox, stage)
    except BadInput as error:
        return StageCondition("connection", "Account", False, str(error))
    return StageCondition("connection", "Account", True, chosen.connection_id)
