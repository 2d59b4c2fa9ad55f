"""Baskets: sees each to its end.

A basket is COMPLETED when all its legs have filled. A leg that ends without that, or the leg timer, starts its unwind
rule: what may still fill is withdrawn, proof is waited for, and what the other legs do not match is taken back (or
completed) at the market, through the gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from engine.domain.baskets import BasketMoved, BasketState, Leg, UnwindRule
from engine.domain.codec import plain
from engine.domain.facts import CancelRequest, Severity
from engine.domain.orders import OrderIntent, OrderState, Side
from engine.trading.basket_orders import BasketOrders
from engine.trading.basket_runs import BasketRun
from engine.trading.folding import Folding
from engine.trading.ordering import Decided

ZERO = Decimal(0)
MOST_ROUNDS = 3
"""Repairs of one basket before it is given up as FAILED."""
ASK_AGAIN_S = 2.0
"""Seconds before a withdrawal that brought no proof is asked for once more."""
_BPS = Decimal("0.0001")
_ANSWERED = (OrderState.WORKING, OrderState.PARTIAL)


class BasketKeeper(BasketOrders):
    """One look at the baskets under way."""

    def drive(self, monotonic_s: float) -> None:
        """Take every basket one step further; call it often.

        Parameters
        ----------
        monotonic_s : float
            The machine's clock, beside market time: a market that is silent stops no leg timer.
        """
        for run in list(self._book.baskets.running.values()):
            if run.first_seen_s is None:
                run.first_seen_s = monotonic_s
            if self._book.latched:
                self._move(run, BasketState.FAILED, "the emergency stop closes what is open")
            elif run.state is BasketState.OPEN:
                self._watch(run, monotonic_s)
            else:
                self._unwind(run, monotonic_s)

    def _watch(self, run: BasketRun, monotonic_s: float) -> None:
        legs = run.basket.legs
        if all(run.done(leg) >= leg.quantity and self._is_settled(leg.client_id) for leg in legs):
            self._move(run, BasketState.COMPLETED, "every leg has filled")
            return
        short = [leg for leg in legs if self._is_settled(leg.client_id) and run.done(leg) < leg.quantity]
        if short:
            why = f"{self._named(short[0])} ended with {plain(run.done(short[0]))} of {plain(short[0].quantity)}"
        elif self._is_late(run, monotonic_s):
            why = f"the leg timer of {run.basket.leg_timer_s} s has run out"
        else:
            return
        self._move(run, BasketState.UNWINDING, f"{why}; the rule is to {run.basket.unwind.value}")
        self._unwind(run, monotonic_s)

    def _is_settled(self, client_id: str) -> bool:
        """Ended with every fill booked; an order that was forgotten had been."""
        order = self._book.tracker.get(client_id)
        return order is None or order.is_settled

    def _is_late(self, run: BasketRun, monotonic_s: float) -> bool:
        timer_s = run.basket.leg_timer_s
        if (self._now - run.basket.at).total_seconds() >= timer_s:
            return True
        return run.first_seen_s is not None and monotonic_s - run.first_seen_s >= timer_s

    def _named(self, leg: Leg) -> str:
        return f"{leg.side.value} {leg.instrument}"

    def _unwind(self, run: BasketRun, monotonic_s: float) -> None:
        """Withdraw what may still fill; once every order has ended with proof, repair what does not match."""
        waiting = [client_id for client_id in run.traded if not self._is_settled(client_id)]
        if waiting:
            self._withdraw_legs(run, monotonic_s)
            return
        shares = [run.share(leg) for leg in run.basket.legs]
        if self._completes(run, max(shares)):
            return
        repairs = self._repairs(run, min(shares))
        if not repairs:
            self._finish(run, shares)
        elif run.rounds >= MOST_ROUNDS:
            self._fail(run, f"{run.rounds} repairs did not fill")
        elif not self._send(run, min(shares), "takes back"):
            self._fail(run, f"the risk gate refused to take it back: {self.decided.refused[-1].detail}")

    def _completes(self, run: BasketRun, share: Decimal) -> bool:
        """Whether the missing legs are on their way, as the rule to hedge wishes; tried once."""
        hedges = run.basket.unwind is UnwindRule.HEDGE and not run.rounds
        if not hedges or not self._repairs(run, share) or not self._completing_is_cheap(run, share):
            return False
        return self._send(run, share, "completes")

    def _withdraw_legs(self, run: BasketRun, monotonic_s: float) -> None:
        if monotonic_s - run.asked_s < ASK_AGAIN_S:
            return
        run.asked_s = monotonic_s
        for leg in run.basket.legs:
            order = self._book.tracker.get(leg.client_id)
            if order is not None and order.remaining and order.state in _ANSWERED:
                self.decided.cancels.append(CancelRequest(leg.client_id, "its basket is given up"))

    def _repairs(self, run: BasketRun, share: Decimal) -> list[tuple[Leg, Side, Decimal]]:
        """Per leg what is missing to, or more than, a share of it: whole lots that are worth an order."""
        found = []
        for leg in run.basket.legs:
            instrument = self._book.ledger.instruments[leg.instrument]
            lacks = share * leg.quantity - run.done(leg)
            size = instrument.round_quantity(abs(lacks))
            if size > 0 and not self._is_dust(instrument, size):
                found.append((leg, leg.side if lacks > 0 else leg.side.opposite, size))
        return found

    def _completing_is_cheap(self, run: BasketRun, share: Decimal) -> bool:
        """Whether the whole basket, completed at the quotes of now, loses no more than was allowed."""
        earned = run.earned(lambda key: ZERO)
        if earned is None:
            return False
        fee, value = self._book.config.taker_bps * _BPS, run.bought
        for leg, side, size in self._repairs(run, share):
            top = self._book.baskets.tops.get(leg.instrument)
            mark = self._book.mark(leg.instrument)
            if top is None or mark is None or (self._now - top.at).total_seconds() > self._book.config.bar.seconds:
                return False
            price = top.ask if side is Side.BUY else top.bid
            earned -= size * price * (side.sign + fee)
            value += size * price if side is Side.BUY else ZERO
        return earned >= -run.basket.most_loss_bps * _BPS * value

    def _send(self, run: BasketRun, share: Decimal, what: str) -> bool:
        """Send the repairs at the market; False where the gate refuses one, and then none is sent."""
        passed: list[OrderIntent] = []
        for leg, side, size in self._repairs(run, share):
            reason = (
                f"{what} what basket {run.basket.basket_id} lacks" if what == "completes" else f"{what} half a basket"
            )
            intent = self._leg(run.basket.sleeve, leg.instrument, side, size, reason)
            intent = replace(intent, basket_id=run.basket.basket_id)
            if not self._pass(intent):
                self._take_back(passed)
                return False
            passed.append(intent)
        for intent in passed:
            self._book.baskets.note_intent(intent)
        return True

    # -- ends ----------------------------------------------------------------------------------------------------

    def _finish(self, run: BasketRun, shares: Sequence[Decimal]) -> None:
        done = min(shares)
        if done >= 1:
            self._move(run, BasketState.COMPLETED, f"{run.reason}; the missing leg was completed at the market")
            return
        left = [
            f"{plain(abs(d))} {leg.instrument}" for leg in run.basket.legs if (d := run.done(leg) - done * leg.quantity)
        ]
        rest = f"; {', '.join(left)} is too small for an order" if left else ""
        matched = f"{done * 100:.2f} % of it filled on both sides" if done > 0 else "nothing of it is left"
        self._move(run, BasketState.UNWOUND, f"{run.reason}; {matched}{rest}")

    def _fail(self, run: BasketRun, why: str) -> None:
        self._move(run, BasketState.FAILED, f"{run.reason}; {why}")

    def _move(self, run: BasketRun, state: BasketState, reason: str) -> None:
        result = run.earned(self._book.price)
        self._fold(BasketMoved(run.basket.basket_id, state, reason, result, self._now))
        if state is BasketState.COMPLETED:
            return
        severity = Severity.CRITICAL if state is BasketState.FAILED else Severity.WARNING
        made = "unknown" if result is None else f"{result:.2f} {self._book.config.base_currency}"
        title = f"Basket of {run.basket.sleeve} {state.value}"
        detail = f"{reason}. Result so far: {made}."
        self.decided.notices.append(
            self._core.notice(f"basket-{run.basket.sleeve}", severity, title, detail, self._now)
        )


def driven(core: Folding, now: datetime, monotonic_s: float) -> Decided:
    """What the baskets under way need now."""
    keeper = BasketKeeper(core, now)
    keeper.drive(monotonic_s)
    return keeper.decided
