"""The memory of a kernel run: one record per order, instrument, strategy and book, in integer ticks and lots.

Quantities are whole lots, prices whole ticks, times ms UTC, money floats in quote. Flags are 0 or 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Records = Any
"""A numpy array of the records below, or one of them. Fields are read as attributes, which type hints do not know."""

ENTRY, EXIT, STOP, FLATTEN, LIQUIDATION, NETTING, TARGET, TRAILED = range(8)
"""Why an order or a row of the book exists, as in `engine.domain.orders.Purpose`; TRAILED is the row of a stop that had
moved."""

TAKEN = 3
"""Size of the latch of a position that a target took; 1 is that of one that was stopped out."""

ACTIVE, CLOSE_ONLY, HALTED = range(3)
"""What the book may do, as in `engine.domain.commands.TradingState`."""

LATCH, OFF, RESET = range(3)
"""What the brake does once it has tripped, as in `engine.trading.config.BrakeMode`."""

DONE, MORE_FILLS, MORE_ORDERS, NO_FUNDING = range(4)
"""Why the loop came back: at the end, for larger arrays, or because a rate is missing."""

NEVER = -1
"""A time that has not come, a row that is not there, a stop that is not known."""

UNLIMITED = np.iinfo(np.int64).max
"""Lots of a candle that no volume share limits."""

TIE = 1e-11
"""Relative rounding tolerance. Two sums of money that differ by less are equal: the core counts in decimals, where such
a difference is a tie; floats of this size err by less than a hundredth of it."""


def _whole(names: str) -> list[tuple[str, str]]:
    return [(name, "i8") for name in names.split()]


def _real(names: str) -> list[tuple[str, str]]:
    return [(name, "f8") for name in names.split()]


Order = np.dtype(
    _whole(
        "sleeve sign purpose asked size venue_size filled is_open venue_open is_sent is_child parent reduces triggered "
        "waited arrives_ms stop reference in_base exempt held_base untold_size untold_end "
        "limit pair is_aimed trail is_moved entered_ms served_ms"
    )
    + _real("per_unit held_quote")
)
"""``size`` is what the book believes it asks for, ``venue_size`` what the venue does: a venue tells of a child it
resized with a cancelled entry only at the next event (``untold_size``, ``untold_end``). ``held_*`` is its reserve.

``limit`` is the price of a target, ``pair`` the slot of its stop; ``is_aimed`` whether a stop has, or had, its target.
``trail`` is how far (ticks) a stop stays behind the best price, 0 where it does not move; ``is_moved`` whether it has.
``entered_ms`` and ``served_ms`` are the closes of the candles that filled it first and last."""

Market = np.dtype(
    _whole(
        "venue coin is_perpetual min_value fee_top fee_bottom maker_top maker_bottom half_top half_bottom take_top "
        "take_bottom take_steps first row bar fine_next fine_stop mark mark_ms venue_mark doubt doubt_ms doubt_count "
        "position held_base count has_dead has_untold entry_lots entry_net"
    )
    + _real("lot unit max_leverage allowed_leverage fee_rate maker_rate reserve_fee taking cost entry_claim")
)
"""``unit`` is the money of one lot at one tick; ``min_value`` the least order in such units. ``row`` is the candle that
has just closed, of all instruments' candles; less ``first`` it is the row of the series given. ``position`` and
``cost`` are the account's. ``bar`` is the candle that closed last; ``fine_next`` up to ``fine_stop`` are the rows of
the finer candles to come. ``half_*`` is half the spread as a share of the price; ``take_steps`` is what an order that
takes pays in 1e-8 of the price, before impact."""

Pair = np.dtype(_whole("held stop target trail best latch is_touched is_doubtful too_small") + _real("cost trade"))
"""A strategy's place in an instrument: ``latch`` is the sign of a position that was stopped out, times 3 of one that a
target took; ``stop`` and ``target`` are where those lie, ``trail`` how far the stop stays behind ``best``, 0 for none;
``is_doubtful`` while a step's withdrawal of a stop has brought no proof; ``too_small`` is the sign of a wish whose
order would be below the minimum, 0 for none; ``trade`` is what the round trip has made."""

Sleeve = np.dtype(_whole("trades wins") + _real("weight tie booked pnl peak"))
"""``booked`` is realised P&L less fees plus funding; ``pnl`` the same with what is open, at the last close. ``tie`` is
what its money is multiplied by before lots are rounded down: slightly more than 1, so that a tie is met, or slightly
less where the core's decimals (0.333... for a third of the cash) lie below the true share, so that it misses the tie.
"""

Venue = np.dtype(_whole("errors") + _real("cash held_quote"))

Candle = np.dtype(_whole("opened_ms open high low close cap kind") + _real("volume"))
"""``cap`` is the most lots one order may take; volume in base. First come the candles that decide, of every instrument,
then the finer ones inside them."""

WHOLE, DECIDED, INSIDE, LAST = range(4)
"""What a candle is: one that fills orders itself, one whose finer candles do, one of these, and the last of these."""

View = np.dtype(_real("conviction distance") + _whole("steps reach trail"))
"""NaN is no view. ``distance`` of the stop in ticks, 0 for none; ``steps`` twice the ticks nearest to it, odd where it
is exactly half way between two, -1 for none. ``reach`` is how far (ticks) a target lies, ``trail`` how far behind the
best price the stop follows; 0 for none."""

Stamp = np.dtype(_whole("at_ms market mark") + _real("rate"))
"""A funding stamp; the rate is NaN where it is missing."""

KINDS = 4
"""How many kinds of decisions a step has; see `engine.simulation.kernel_orders`."""

Decision = np.dtype(_whole("market slot size"))

FillRow = np.dtype(_whole("bar at_ms market sleeve sign lots price purpose closes stop") + _real("fee pnl"))
"""``bar`` is the row of the series given; ``closes`` where a round trip ended: then ``pnl`` is what it made, net of
fees, with funding; else 0. ``stop`` is where the stop of the position lay (ticks), 0 where it had none."""

Close = np.dtype(_real("equity drawdown"))

TABLES = {
    "sleeve": Sleeve,
    "venue": Venue,
    "market": Market,
    "pair": Pair,
    "order": Order,
    "decision": Decision,
    "entry": np.dtype(np.int64),
    "error": np.dtype(np.int64),
    "fill": FillRow,
    "close": Close,
    "instant": np.dtype(np.int64),
    "row": np.dtype(np.int64),
    "candle": Candle,
    "view": View,
    "stamp": Stamp,
}
"""Every table of a run. The last sleeve is `external`: what no strategy's order explains. Pairs lie by sleeve, orders
by instrument in the order of acceptance, decisions by kind, rows by instant; entries and errors are rings of times."""

Run = np.dtype(
    _whole(" ".join(f"{name}_table" for name in TABLES))
    + _whole("sleeves venues markets slots decisions entry_limit error_limit fill_rows candles views stamps fine_ms")
    + _whole(
        "weights aggressive brake reset_ms confirm_ms unknown_for_ms max_age_ms failed_limit carry_bars latency_ms "
        "bar_ms"
    )
    + _real(
        "brake_drawdown entry_drawdown strategy_drawdown daily_loss position_share exposure concentration reserve "
        "maintenance impact"
    )
    + _whole(
        "next next_stamp now_ms fills fill_count state is_latched waits tripped_ms unknown_ms braked_ms failed "
        "has_stop is_flat flatten_due_ms pause_ms fills_seen stopped_ms refused cancels amends moves approved entries "
        "day rejected below_minimum"
    )
    + _real("equity capital value peak day_start funding")
)
"""One run: where its tables lie, how long they are, its limits and costs, and the state of its book.

``*_table`` are the addresses of the tables, so that one pointer is all that a function is given: arrays as arguments
are counted at every call, which would cost thirty times the work. Whoever runs the loop keeps the tables alive.
"""
