"""Journal and audit rows in plain words; the stored type and payload stay beside them, word for word."""

from __future__ import annotations

from decimal import Decimal

from engine.domain.baskets import Basket, BasketMoved
from engine.domain.codec import decode_fact, plain
from engine.domain.commands import Command, EmergencyStop, PlaceOrder, SetTrading
from engine.domain.errors import StorageError
from engine.domain.facts import (
    Armed,
    BestPrice,
    BookConfigured,
    CoinPriced,
    CommandDone,
    EquityMark,
    Fact,
    LatchReleased,
    Netted,
    Promotion,
    ProtectionGap,
    SleeveConfigured,
    StateChanged,
    StopProgress,
)
from engine.domain.orders import CashFlow, Fill, FundingPaid, OrderIntent, OrderUpdate
from engine.domain.unread import RowSetAside
from engine.runtime.titles import title_of, with_titles

KIND_WORDS = {
    "Armed": "Arming",
    "Basket": "Basket decided",
    "BasketMoved": "Basket news",
    "BestPrice": "Best price",
    "BookConfigured": "Limits of the book",
    "CashFlow": "Cash moved",
    "CoinPriced": "Price for fees",
    "Command": "Order of a person",
    "CommandDone": "Answer to a person",
    "EquityMark": "Equity noted",
    "Fill": "Fill",
    "FundingPaid": "Funding",
    "LatchReleased": "Free to open again",
    "Netted": "Set off",
    "OrderIntent": "Order decided",
    "OrderUpdate": "Order news",
    "Promotion": "Promotion",
    "ProtectionGap": "Protection",
    "RowSetAside": "Row set aside",
    "SleeveConfigured": "Strategy set up",
    "StateChanged": "Trading state",
    "StopProgress": "Emergency stop",
}
"""What people read for each kind of journal row."""

ACTION_WORDS = {
    "EmergencyStop": "Ordered an emergency stop",
    "Rearm": "Re-armed",
    "SetTrading": "Changed the trading state",
    "ClosePosition": "Closed a position",
    "CancelOrder": "Cancelled an order",
    "PlaceOrder": "Placed an order by hand",
    "AdoptOrder": "Had an own order taken over",
    "SetStrategy": "Started or paused a strategy",
    "ConfigureStrategy": "Changed a strategy's settings",
    "SetAllocation": "Changed the allocation",
    "ConfigureRisk": "Changed the limits",
    "SetSpeed": "Changed the market's speed",
    "InjectFault": "Made a simulated fault",
    "ArmLive": "Armed a book",
    "Reconcile": "Compared books and exchange",
    "SetRowAside": "Set aside a row that cannot be read",
    "Promote": "Promoted a strategy",
    "Demote": "Demoted a strategy",
    "book_off": "Stopped a book",
    "book_on": "Started a book",
    "alert_muted": "Muted an alert",
    "backtest_deleted": "Deleted a backtest",
    "backtest_noted": "Wrote a note on a backtest",
    "backtest_started": "Started a backtest",
    "backup_started": "Started a backup",
    "channel_added": "Added an alert channel",
    "channel_not_added": "Could not add the alert channel",
    "channel_removed": "Removed an alert channel",
    "download_started": "Asked for a download of candles",
    "holdout_looked_at": "Asked for the one look at a holdout",
    "import_started": "Asked for an import of candles",
    "job_cancelled": "Cancelled a job",
    "keys_added": "Connected an account",
    "keys_removed": "Forgot an account's keys",
    "lockout_lifted": "Lifted a lockout",
    "login": "Signed in",
    "login_blocked": "Was kept waiting after wrong passwords",
    "login_failed": "Failed to sign in",
    "logout": "Signed out",
    "owner_code_refused": "Typed a wrong one-time code",
    "owner_created": "Made the owner's account",
    "paper_feed_off": "Stopped public market data",
    "paper_feed_on": "Started public market data",
    "password_change_failed": "Typed a wrong old password",
    "password_changed": "Changed the own password",
    "password_reset": "Gave a new password",
    "replay_deleted": "Deleted a replay",
    "session_revoked": "Ended a session",
    "setting_changed": "Changed a setting",
    "step_up": "Proved the password again",
    "step_up_failed": "Failed to prove the password",
    "study_archived": "Put a study away",
    "study_continued": "Continued a study",
    "study_noted": "Wrote a note on a study",
    "study_started": "Started a study",
    "study_taken_back": "Took a study back",
    "user_added": "Added a person",
    "user_disabled": "Kept a person out",
    "user_enabled": "Let a person in again",
    "user_role_changed": "Changed a role",
}
"""What people read for each action of the audit trail."""


def kind_words(kind: str) -> str:
    """A kind of journal row for people; one that is not known in words.

    >>> kind_words("OrderIntent"), kind_words("NewThing")
    ('Order decided', 'New thing')
    """
    return KIND_WORDS.get(kind) or _words(kind)


def action_words(action: str) -> str:
    """An action of the audit trail for people.

    >>> action_words("login_failed"), action_words("EmergencyStop"), action_words("coffee_made")
    ('Failed to sign in', 'Ordered an emergency stop', 'Coffee made')
    """
    return ACTION_WORDS.get(action) or _words(action)


def journal_words(payload: str) -> str:
    """What a journal row says, as one sentence; a payload that cannot be read says so and stays readable as it is."""
    try:
        return sentence_of(decode_fact(payload))
    except StorageError as error:
        return f"This row cannot be read: {error}"


def sentence_of(fact: Fact) -> str:
    """A fact as one sentence."""
    match fact:
        case OrderIntent() | OrderUpdate() | Fill() | Netted() | BestPrice() | LatchReleased() | ProtectionGap():
            return _about_orders(fact)
        case Command(actor=actor, reason=reason, body=body):
            return f"{actor.name} ({actor.source}): {_asked(body)}" + (f"; reason: {reason}" if reason else "")
        case CommandDone(status=status, detail=detail):
            return f"{status.capitalize()}: {with_titles(detail)}"
        case StateChanged(state=state, latched=latched, reason=reason):
            return f"{state.value}{', latched until re-armed' if latched else ''}: {with_titles(reason)}"
        case StopProgress(step=step, detail=detail):
            return f"Proven: {step.value} ({with_titles(detail)})"
        case SleeveConfigured(strategy=name, running=running, weight=weight, instruments=instruments):
            way = "running" if running else "paused"
            share = f"{_rounded(weight * 100)} % of the capital"
            return f"{title_of(name)} is {way} with {share} on {len(instruments)} instruments"
        case Armed() | Promotion():
            return _about_permission(fact)
        case _:
            return _about_money(fact)


def _about_permission(fact: Armed | Promotion) -> str:
    match fact:
        case Armed(armed=armed, reason=reason):
            return f"The book is {'armed' if armed else 'no longer armed'}: {with_titles(reason)}"
        case Promotion(strategy=name, promoted=True, from_book=book, by=by, evidence=evidence):
            made = f"{_rounded(evidence.net_return * 100)} %" if evidence and evidence.net_return is not None else "?"
            shown = f"{evidence.trades} trades on {evidence.days} days, {made}" if evidence is not None else "nothing"
            return f"{by} promoted {title_of(name)} out of {book}, where it had shown: {shown}"
        case Promotion(strategy=name, by=by):
            return f"{by} took back the promotion of {title_of(name)}"


def _about_orders(
    fact: OrderIntent | OrderUpdate | Fill | Netted | BestPrice | LatchReleased | ProtectionGap,
) -> str:
    match fact:
        case OrderIntent(instrument=key, side=side, quantity=quantity, sleeve=sleeve, reason=reason):
            price = fact.limit_price or fact.stop_price
            at = f" at {plain(price)}" if price is not None else ""
            why = f": {with_titles(reason)}" if reason else ""
            kind = f"{fact.purpose.value}, {fact.order_type.value} order{at}"
            return f"{title_of(sleeve)} wants to {side.value} {plain(quantity)} {market_name(key)} ({kind}){why}"
        case OrderUpdate(instrument=key, state=state, filled=filled, reason=reason):
            done = f", {plain(filled)} filled" if filled else ""
            why = f": {with_titles(reason)}" if reason else ""
            return f"Order {fact.client_id} of {market_name(key)} is {state.value.replace('_', ' ')}{done}{why}"
        case Fill(instrument=key, side=side, quantity=quantity, price=price, fee=fee, fee_currency=coin):
            did = "Bought" if side.sign > 0 else "Sold"
            return f"{did} {plain(quantity)} {market_name(key)} at {plain(price)}, fee {_rounded(fee, 8)} {coin}"
        case Netted(instrument=key, quantity=quantity, price=price):
            both = f"{title_of(fact.long_sleeve)} and {title_of(fact.short_sleeve)}"
            return f"Set {plain(quantity)} {market_name(key)} of {both} off against each other at {plain(price)}"
        case BestPrice(sleeve=sleeve, instrument=key, price=price):
            return f"{market_name(key)} of {title_of(sleeve)} was worth {plain(price)} at best; its stop follows"
        case ProtectionGap(sleeve=sleeve, instrument=key, gap=gap, quantity=quantity, reason=reason):
            lacks = gap.value if quantity else f"over: {gap.value}"
            return f"{market_name(key)} of {title_of(sleeve)}, {lacks}: {with_titles(reason)}"
        case LatchReleased(sleeve=sleeve, instrument=key):
            return f"{title_of(sleeve)} may open {market_name(key)} again: its conviction went back to zero or turned"


def _about_money(fact: Fact) -> str:
    match fact:
        case Basket(sleeve=sleeve, legs=legs, leg_timer_s=timer_s, unwind=rule):
            parts = ", ".join(f"{one.side.value} {plain(one.quantity)} {market_name(one.instrument)}" for one in legs)
            return f"{title_of(sleeve)} wants together: {parts}; after {timer_s} s the rule is to {rule.value}"
        case BasketMoved(basket_id=basket_id, state=state, reason=reason, result=result):
            made = "unknown" if result is None else _rounded(result)
            return f"Basket {basket_id} is {state.value}: {with_titles(reason)}; result so far {made}"
        case FundingPaid(instrument=key, amount=amount, currency=coin, rate=rate):
            did = "Received" if amount > 0 else "Paid"
            paid = f"{_rounded(abs(amount), 8)} {coin} funding"
            return f"{did} {paid} on {market_name(key)} at {_rounded(rate * 100, 6)} %"
        case CashFlow(amount=amount, currency=coin, own=own, venue=venue, reason=reason):
            moved = f"{'Received' if amount > 0 else 'Took out'} {plain(abs(amount))} {coin}"
            return f"{moved} at {venue}, the trader's own: {reason}" if own else moved
        case RowSetAside(venue=venue):
            return f"At {venue}: {fact.words}"
        case CoinPriced(coin=coin, price=price):
            return f"One {coin} counted as {plain(price)} for fees charged in it"
        case EquityMark(equity=equity, peak=peak):
            return f"Equity {_rounded(equity)}; highest value of one unit {_rounded(peak, 6)}"
        case BookConfigured():
            return "Limits and allocation of the book were stored"
        case _:
            return kind_words(type(fact).__name__)


def _asked(body: object) -> str:
    words = action_words(type(body).__name__)
    match body:
        case EmergencyStop(book=None):
            return f"{words} of every book"
        case SetTrading(state=state):
            return f"{words} to {state.value}"
        case PlaceOrder(side=side, quantity=quantity, instrument=key):
            return f"{words}: {side.value} {plain(quantity)} {market_name(key)}"
        case _:
            return words


def market_name(key: str) -> str:
    """An instrument by its pair and venue.

    >>> market_name("demo-a:BTC/USDT:USDT"), market_name("demo-b:ETH/USDT")
    ('BTC/USDT perp on demo-a', 'ETH/USDT on demo-b')
    """
    venue, _, symbol = key.partition(":")
    pair, perpetual, _ = symbol.partition(":")
    return f"{pair}{' perp' if perpetual else ''} on {venue}"


def _rounded(value: Decimal, places: int = 2) -> str:
    return plain(Decimal(f"{value:.{places}f}"))


def _words(name: str) -> str:
    spaced = "".join(f" {letter}" if letter.isupper() else letter for letter in name).replace("_", " ").strip()
    return spaced.capitalize()
