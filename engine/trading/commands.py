"""What each command does to a book; everything it decides goes through the same gate as a strategy's order."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from engine.domain.commands import (
    AdoptOrder,
    ArmLive,
    CancelOrder,
    ClosePosition,
    Command,
    CommandStatus,
    ConfigureRisk,
    ConfigureStrategy,
    Demote,
    EmergencyStop,
    PlaceOrder,
    Promote,
    Rearm,
    SetAllocation,
    SetRowAside,
    SetStrategy,
    SetTrading,
    TradingState,
)
from engine.domain.errors import BadInput, CommandRefused
from engine.domain.facts import Armed, CancelRequest, CommandDone, Outcome, Severity
from engine.domain.instruments import venue_of
from engine.domain.orders import OrderType, Purpose
from engine.trading.adopting import adopted, own_order
from engine.trading.book import CLOSED_BY
from engine.trading.core import NOT_ARMED, TradingCore, outcome_of
from engine.trading.graduation import Candidate
from engine.trading.strategy_commands import StrategyCommands
from engine.trading.unread import consequence, to_set_aside

STALE_AFTER_S = 60.0
"""Wall seconds after which a command that could add risk is not carried out any more."""
MOST_DIGITS = 24
"""Before or after the decimal point; what is larger or smaller is no price and no quantity."""


def carry_out(
    core: TradingCore,
    command: Command,
    at: datetime,
    wall: datetime | None = None,
    candidate: Candidate | None = None,
) -> Outcome:
    """Carry out a command once; a refusal changes nothing and says why.

    Parameters
    ----------
    core : TradingCore
    command : Command
    at : datetime
        Market time of the book.
    wall : datetime, optional
        Wall time now: a command that could add risk is refused once it is `STALE_AFTER_S` old, because whoever gave
        it saw another market, and so is an order by hand on prices that no data has confirmed for as long as an
        entry may rest on. None looks at neither.
    candidate : Candidate, optional
        Of a promotion: the strategy as it stands in the book it comes from.

    Returns
    -------
    Outcome
        Its facts begin with the command and end with its `CommandDone`: journaled together, it is done whole or not
        at all.
    """
    if command.command_id in core.book.commands:
        return Outcome()
    handler = _Handler(core, command, at, candidate)
    handler.wall = wall
    try:
        if wall is not None:
            _require_recent(core, command, wall)
        detail = handler.run()
        status = CommandStatus.DONE
    except (CommandRefused, BadInput) as refusal:
        handler = _Handler(core, command, at)
        status, detail = CommandStatus.REFUSED, str(refusal)
    except ArithmeticError as error:
        handler = _Handler(core, command, at)
        status, detail = CommandStatus.REFUSED, f"a number in it is beyond all arithmetic ({type(error).__name__})"
    done = CommandDone(command.command_id, status.value, detail, at)
    core.apply(done)
    return outcome_of(handler.decider.decided, [command, *handler.facts, done], handler.notices)


def _require_recent(core: TradingCore, command: Command, wall: datetime) -> None:
    body, book = command.body, core.book
    opens = isinstance(body, PlaceOrder) and not body.reduce_only
    adds_risk = opens or isinstance(body, Rearm | ArmLive | Promote | AdoptOrder)
    adds_risk |= isinstance(body, SetTrading) and body.state is TradingState.ACTIVE
    adds_risk |= isinstance(body, SetStrategy) and body.running
    age_s = (wall - command.at).total_seconds()
    if adds_risk and abs(age_s) > STALE_AFTER_S:
        raise CommandRefused(
            f"it was given {age_s:.0f} s ago, {STALE_AFTER_S:.0f} s are allowed; look at the market and give it again"
        )
    if isinstance(body, PlaceOrder) and opens and not book.config.simulated:
        feed = book.feeds.get(venue_of(body.instrument))
        heard = feed.last_wall_time if feed is not None else None
        allowed_s = book.risk.max_price_age_bars * book.config.bar.seconds
        if heard is None or (wall - heard).total_seconds() > allowed_s:
            silent = "never" if heard is None else f"{(wall - heard).total_seconds():.0f} s ago"
            raise CommandRefused(f"its market was last heard {silent}, {allowed_s} s are allowed; wait for data")


class _Handler(StrategyCommands):
    wall: datetime | None = None

    def run(self) -> str:
        """What was done, in words; raises what refuses it."""
        match self._command.body:
            case EmergencyStop():
                return self._stop()
            case Rearm():
                return self._rearm()
            case SetTrading(state=state):
                return self._set_trading(state)
            case ClosePosition() as body:
                return self._close(body)
            case CancelOrder(client_id=client_id):
                return self._cancel(client_id)
            case PlaceOrder() as body:
                return self._place(body)
            case AdoptOrder(venue_order_id=number):
                return self._adopt(number)
            case SetRowAside() as body:
                return self._set_row_aside(body)
            case SetStrategy() as body:
                return self._set_strategy(body)
            case ConfigureStrategy() as body:
                return self._configure_strategy(body)
            case SetAllocation() as body:
                return self._set_allocation(body)
            case ConfigureRisk(values=values):
                return self._configure_risk(values)
            case ArmLive():
                return self._arm()
            case Promote():
                return self._promote()
            case Demote(strategy=strategy):
                return self._demote(strategy)
            case other:
                raise CommandRefused(f"{type(other).__name__} is not for the book {self._book.config.name}")

    def _stop(self) -> str:
        if self._book.latched and self._book.stop is not None:
            how = "has been carried to VERIFIED FLAT" if self._book.stop.is_flat else "is already under way"
            return f"stop {self._book.stop.stop_id} {how}"
        actor = f"{self._command.actor.name} ({self._command.actor.source})"
        reason = self._command.reason or "emergency stop"
        told_at = self._at if self._book.config.simulated or self.wall is None else self.wall
        self.facts += self._core.begin_stop(self._command.command_id, reason, actor, self._at, told_at)
        notice = self._core.notice("stop", Severity.CRITICAL, "Emergency stop", f"{reason}, by {actor}", self._at)
        self.notices.append(notice)
        return "latched; cancelling and flattening"

    def _rearm(self) -> str:
        if not self._book.latched:
            raise CommandRefused("nothing is latched, so there is nothing to re-arm")
        if self._book.stop is not None and not self._book.stop.is_flat:
            waiting = self._book.stop.waiting_for or "the stop has not been carried to VERIFIED FLAT"
            raise CommandRefused(f"NOT FLAT: {waiting}; re-arm after VERIFIED FLAT")
        waits = self._book.config.needs_arming
        if not waits:
            self.notices += self._core.good_news(self._at)
        self.facts += self._core.rearm(self._at, self._command.reason or "re-armed")
        if waits:
            return "the stop is released, drawdown counts from here; HALTED until the book is armed"
        return "re-armed: ACTIVE, drawdown counts from here"

    def _arm(self) -> str:
        book, actor = self._book, self._command.actor
        if not book.config.needs_arming:
            raise CommandRefused(f"{book.config.name} needs no arming")
        if book.latched:
            raise CommandRefused(f"{book.config.name} is latched ({book.state_reason}); release the stop first")
        self._require_clear("not armed")
        by = f"{self._command.reason or 'armed'} by {actor.name}"
        self._fold(Armed(True, book.ids.installation, by, self._at))
        self.notices += self._core.good_news(self._at)
        self.facts += self._core.move_state(TradingState.ACTIVE, by, self._at)
        return "armed: ACTIVE, it opens positions from now on"

    def _require_clear(self, what: str) -> None:
        obstacles = self._book.licence.obstacles
        if obstacles:
            raise CommandRefused(f"{what}: {'; '.join(why for _, why in sorted(obstacles.items()))}")

    def _set_trading(self, state: TradingState) -> str:
        if self._book.latched:
            raise CommandRefused(f"{self._book.config.name} is latched ({self._book.state_reason}); re-arm it first")
        if self._book.state is TradingState.LOCKED and state is not TradingState.HALTED:
            why = f"{self._book.config.name} is LOCKED: {self._book.state_reason}"
            raise CommandRefused(f"{why}. It is tried again every half minute; once it works, the book can be set")
        if state is TradingState.LOCKED:
            raise CommandRefused("LOCKED is set by the engine alone, when credentials stop working")
        reason = f"{self._command.reason or 'set'} by {self._command.actor.name}"
        if state is TradingState.ACTIVE:
            if self._book.config.needs_arming and self._book.licence.armed is None:
                raise CommandRefused(f"{self._book.config.name} is {NOT_ARMED}; arm it, which makes it ACTIVE")
            self._require_clear("not now")
            self.notices += self._core.good_news(self._at)
        self.facts += self._core.move_state(state, reason, self._at)
        self.decider.withdraw_entries()
        return f"now {state.value}"

    def _close(self, body: ClosePosition) -> str:
        instrument = self._instrument(body.instrument)
        if not body.share.is_finite() or not Decimal(0) < body.share <= 1:
            raise CommandRefused(f"share {body.share} must be above 0 and at most 1")
        held = self._book.ledger.held(body.sleeve, body.instrument)
        if not held:
            raise CommandRefused(f"{body.sleeve} holds no {body.instrument}")
        size = abs(held) * body.share
        result = self.decider.close(body.sleeve, instrument, size, f"{CLOSED_BY}{self._command.actor.name}")
        if not self.decider.decided.approved:
            raise CommandRefused(result)
        return result

    def _cancel(self, client_id: str) -> str:
        order = self._book.tracker.get(client_id)
        own = [o for orders in self._book.outside.orders.values() for o in orders if o.client_id == client_id]
        if own:
            raise CommandRefused(f"order {client_id} is your own, not the engine's; cancel it at {own[0].venue}")
        if order is None or order.state.is_final:
            raise CommandRefused(f"order {client_id} is not working")
        intent = order.intent
        if intent.purpose is Purpose.STOP:
            entry = self._book.tracker.get(intent.parent_id or "")
            if entry is not None and entry.remaining:
                raise CommandRefused(f"order {client_id} protects {intent.parent_id}, which may fill yet; cancel that")
            if self._book.ledger.held(intent.sleeve, intent.instrument):
                raise CommandRefused(f"order {client_id} protects an open position; close the position instead")
        self.decider.decided.cancels.append(CancelRequest(client_id, f"cancelled by {self._command.actor.name}"))
        return "asked the venue to cancel"

    def _adopt(self, number: str) -> str:
        order = own_order(self._book, number)
        for fact in adopted(self._book, order, self._at, self._command.actor.name):
            self._fold(fact)
        return f"order {number} is managed from now on, as an order by hand; a stop cancels it"

    def _set_row_aside(self, body: SetRowAside) -> str:
        command = self._command
        fact = to_set_aside(self._book, body, command.reason, command.actor.name, self._at)
        self._fold(fact)
        words = f"{fact.words}. {consequence(self._book, fact)}"
        self.notices.append(self._core.notice("aside", Severity.WARNING, "A row was set aside", words, self._at))
        if not self._book.outside.unreadable.get(fact.venue):
            title, key = f"Nothing waits for executions at {fact.venue} any more", f"unreadable-{fact.venue}"
            self.notices.append(
                self._core.notice(key, Severity.INFO, title, "what cannot be read is set aside", self._at)
            )
        return words

    def _place(self, body: PlaceOrder) -> str:
        instrument = self._instrument(body.instrument)
        size = _plausible("quantity", body.quantity)
        for what, price in (("limit price", body.limit_price), ("stop price", body.stop_price)):
            _plausible(what, price)
        if size is None or size <= 0 or instrument.round_quantity(size) != size:
            raise CommandRefused(f"quantity {size} must be a positive multiple of {instrument.lot_size}")
        if (body.order_type is OrderType.LIMIT) != (body.limit_price is not None):
            raise CommandRefused("a limit order needs a limit price, and only a limit order has one")
        if (body.order_type is OrderType.STOP) != (body.stop_price is not None):
            raise CommandRefused("a stop order needs a stop price, and only a stop order has one")
        if body.post_only and body.order_type is not OrderType.LIMIT:
            raise CommandRefused(f"post-only is for limit orders; this is a {body.order_type.value} order")
        reason = f"manual order by {self._command.actor.name}"
        if not self.decider.place(body, reason):
            refusal = self.decider.decided.refused[-1]
            raise CommandRefused(f"{refusal.rule}: {refusal.detail}")
        return f"{body.side.value} {body.quantity} {instrument.base} sent"


def _plausible(what: str, number: Decimal | None) -> Decimal | None:
    """The number itself; one no market knows is refused before it is computed with or written out in full."""
    if number is not None and (not number.is_finite() or abs(number.adjusted()) > MOST_DIGITS):
        raise CommandRefused(f"{what} {number} is beyond every market")
    return number
