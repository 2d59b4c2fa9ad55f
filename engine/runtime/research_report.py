"""A backtest as one HTML file: no script, no link, nothing fetched; every text in it is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from html import escape

from engine.domain.research import BacktestView, RunTrade, RunVerdict, Standing, Statistic, Unit
from engine.runtime.research_svg import bars_svg, curve_svg
from engine.runtime.titles import title_of

MOST_TRADES = 2000
"""Trades that a report lists, newest first; it says how many it leaves out."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_MINUS = "\N{MINUS SIGN}"
_NONE = "\N{EM DASH}"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TONES = {Standing.HOLDS: "good", Standing.DOUBTFUL: "warn", Standing.FAILS: "bad"}
_STYLE = """
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:1240px;margin:24px auto;padding:0 16px;
background:light-dark(#fff,#0a111b);color:light-dark(#122033,#e6edf5);font-variant-numeric:tabular-nums}
h1{font-size:22px;margin:0}h2{font-size:16px;margin:24px 0 6px}
p{margin:4px 0}.dim,.legend{color:light-dark(#51637a,#93a4b8);font-size:13px}
.verdict{border-left:5px solid;padding:10px 14px;margin:14px 0}
.good{border-color:light-dark(#0f766e,#2dd4bf)}.warn{border-color:light-dark(#94690a,#e3b341)}
.bad{border-color:light-dark(#c5222b,#e5484d)}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:12px}
th{vertical-align:bottom}
th,td{text-align:left;padding:4px 8px 4px 0;border-bottom:1px solid light-dark(#d9e1ea,#1f2c40);white-space:nowrap}
th{white-space:normal}td.n,th.n{text-align:right}td.w{white-space:normal;overflow-wrap:anywhere;min-width:14em}
svg{width:100%;height:auto}polyline{fill:none;stroke-width:2;vector-effect:non-scaling-stroke}
polyline.equity{stroke:light-dark(#0f766e,#2dd4bf)}polyline.hold{stroke:light-dark(#3f5fc4,#8aa4e8)}
polygon.depth,rect.down{fill:light-dark(#b4500f,#f59e5b)}rect.up{fill:light-dark(#047857,#45cfa2)}
b.equity{color:light-dark(#0f766e,#2dd4bf)}b.hold{color:light-dark(#3f5fc4,#8aa4e8)}
b.depth{color:light-dark(#b4500f,#f59e5b)}pre{white-space:pre-wrap;font:inherit;margin:0}
"""


def report_of(view: BacktestView, trades: Sequence[RunTrade], made_at: datetime) -> bytes:
    """The report as UTF-8.

    Parameters
    ----------
    view : BacktestView
    trades : sequence of RunTrade
        By number; the newest 2,000 are listed.
    made_at : datetime
        When the report is made.
    """
    row = view.row
    title = f"{title_of(row.strategy)} on {', '.join(row.instruments)}"
    body = "".join((_head(view, title), _results(view), _parts(view), _trade_table(view, trades), _conditions(view)))
    foot = f"Report made {made_at:%Y-%m-%d %H:%M} UTC. A result of the past on recorded candles, no promise."
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width"><meta name="referrer" content="no-referrer">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f'<body>{body}<p class="dim">{escape(foot)}</p></body></html>'
    ).encode()


def number(value: Decimal | float | None, places: int = 2) -> str:
    """Thousands separated, a true minus sign, a dash for unknown.

    >>> number(Decimal("-1234.5")), number(None)
    ('−1,234.50', '—')
    """
    return _NONE if value is None else f"{value:,.{places}f}".replace("-", _MINUS)


def percent(share: float | None) -> str:
    """A share in percent.

    >>> percent(-0.0123)
    '−1.23 %'
    """
    return _NONE if share is None else f"{number(share * 100)} %"


def price(value: Decimal | None, step: Decimal | None) -> str:
    """A price with the decimals of its instrument's price step; with those its size deserves where that is unknown.

    >>> price(Decimal("64012.50310000"), Decimal("0.01")), price(Decimal("0.00001234567"), None), price(None, None)
    ('64,012.50', '0.00001235', '—')
    """
    if value is None:
        return _NONE
    if step is not None:
        exponent = step.normalize().as_tuple().exponent
        return number(value, max(0, -exponent) if isinstance(exponent, int) else 2)
    size = abs(value)
    return number(value, 2 if size >= 100 else 4 if size >= 1 else min(8, 3 - value.adjusted()))


def shown(value: float | None, unit: Unit, currency: str) -> str:
    """A figure with its unit.

    >>> shown(0.5, Unit.SHARE, ""), shown(12, Unit.DAYS, ""), shown(3.5, Unit.MONEY, "USDT")
    ('50.00 %', '12 days', '3.50 USDT')
    """
    if value is None:
        return _NONE
    match unit:
        case Unit.SHARE:
            return percent(value)
        case Unit.DAYS:
            return f"{number(value, 0)} days"
        case Unit.COUNT:
            return number(value, 0)
        case Unit.MONEY:
            return f"{number(value)} {currency}"
        case Unit.RATIO:
            return number(value)


def _head(view: BacktestView, title: str) -> str:
    row, verdict = view.row, view.row.verdict
    span = f"{_day(row.start)} to {_day(row.stop)}"
    facts = f"{span}, {row.timeframe} candles, from {number(row.cash)} {row.currency}, run {row.run_id}"
    parts = [f'<h1>{escape(title)}</h1><p class="dim">{escape(facts)}</p>']
    if verdict is not None:
        parts.append(f'<div class="verdict {_TONES[verdict.standing]}">{_verdict(verdict)}</div>')
    if view.stopped:
        parts.append(f"<p>{escape(view.stopped)}.</p>")
    parts += [f"<p>{escape(remark)}</p>" for remark in view.remarks]
    if row.note is not None:
        by = f"Note by {row.note.by}, {row.note.at:%Y-%m-%d %H:%M} UTC"
        parts.append(f'<h2>Note</h2><pre>{escape(row.note.text)}</pre><p class="dim">{escape(by)}</p>')
    return "".join(parts)


def _verdict(verdict: RunVerdict) -> str:
    lead = f" {escape(verdict.lead)}:" if verdict.lead else ""
    passed = f"Passed, which alone is not enough:{_bullets(verdict.passed)}" if verdict.passed else ""
    return f"<b>{escape(verdict.level[:1].upper() + verdict.level[1:])}.</b>{lead}{_bullets(verdict.reasons)}{passed}"


def _bullets(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(_true_minus(line))}</li>' for line in lines)}</ul>"


def _results(view: BacktestView) -> str:
    unit = view.row.currency
    days = f"<p>{escape(view.doubled_days)}.</p>" if view.doubled_days else ""
    heads = ("Figure", "Value", "95 % from", "to", "Buy and hold", "Hold at 20 % volatility", "What it means")
    return (
        f"<h2>Equity</h2>{curve_svg(view.curve)}"
        f"<h2>Figures</h2>{_table(heads, (_figure(row, unit) for row in view.statistics), {1, 2, 3, 4, 5}, {6})}"
        f"<h2>At twice the costs</h2>{days}{_table(_SHORT, (_check(row, unit) for row in view.doubled), {1}, {2})}"
        f"<h2>Luck and overfitting</h2>{_table(_SHORT, (_check(row, unit) for row in view.checks), {1}, {2})}"
    )


_SHORT = ("Figure", "Value", "What it means")


def _parts(view: BacktestView) -> str:
    unit = view.row.currency
    months = ((str(row.year), *map(percent, row.months), percent(row.total)) for row in view.months)
    years = (
        (str(row.year), percent(row.net_return), percent(row.hold_return), percent(row.max_drawdown),
         number(row.sharpe), f"{row.trades:,}")
        for row in view.years
    )  # fmt: skip
    regimes = ((row.name, percent(row.share), percent(row.net_return), number(row.sharpe)) for row in view.regimes)
    costs = ((row.name, number(row.amount), percent(row.share)) for row in view.costs)
    exits = ((row.reason, f"{row.trades:,}", number(row.pnl)) for row in view.exits)
    return "".join(
        (
            f"<h2>Returns by month</h2>{_table(('Year', *_MONTHS, 'Whole year'), months, set(range(1, 14)))}",
            f"<h2>By year</h2>{_table(_YEAR_HEADS, years, {1, 2, 3, 4, 5})}",
            f"<h2>By kind of market</h2>{_table(_REGIME_HEADS, regimes, {1, 2, 3})}",
            f"<h2>Costs paid</h2>{_table(('Cost', unit, 'Of all costs'), costs, {1, 2})}",
            f"<h2>Why trades ended</h2>{_table(('Reason', 'Trades', f'P&L, {unit}'), exits, {1, 2})}",
            f"<h2>Results of trades</h2>{bars_svg(view.distribution)}",
        )
    )


_REGIME_HEADS = ("Market", "Of the time", "Net return", "Sharpe")
_YEAR_HEADS = ("Year", "Net return", "Buy and hold", "Deepest drawdown", "Sharpe", "Trades")


def _trade_table(view: BacktestView, trades: Sequence[RunTrade]) -> str:
    unit, listed = view.row.currency, list(reversed(trades))[:MOST_TRADES]
    heads = (
        "#", "Instrument", "Side", "Quantity", "Entered, UTC", "Entry price", "Left, UTC", "Exit price",
        "First stop", "Why it ended",
        f"P&L, {unit}", "Of what was paid",
    )  # fmt: skip
    rows = (_trade(trade, view.price_steps.get(trade.instrument)) for trade in listed)
    left_out = len(trades) - len(listed)
    more = f'<p class="dim">The {left_out:,} oldest trades are not listed.</p>' if left_out else ""
    return f"<h2>Trades, {len(trades):,}</h2>{_table(heads, rows, {0, 3, 5, 7, 8, 10, 11})}{more}"


def _trade(trade: RunTrade, step: Decimal | None) -> tuple[str, ...]:
    return (
        f"{trade.number:,}", trade.instrument, trade.side, _plain(trade.quantity), _minute(trade.entry_at),
        price(trade.entry_price, step), _minute(trade.exit_at), price(trade.exit_price, step),
        price(trade.stop_price, step),
        trade.exit_reason, number(trade.pnl), percent(trade.share),
    )  # fmt: skip


def _conditions(view: BacktestView) -> str:
    return f"<h2>Conditions</h2>{_table(('What', 'Value'), view.conditions, set(), {1})}"


def _figure(row: Statistic, currency: str) -> tuple[str, ...]:
    figures = (shown(value, row.unit, currency) for value in (row.value, row.low, row.high, row.hold, row.steady))
    return (row.title, *figures, _meaning(row))


def _check(row: Statistic, currency: str) -> tuple[str, ...]:
    return row.title, shown(row.value, row.unit, currency), _meaning(row)


def _meaning(row: Statistic) -> str:
    return f"{row.meaning} Undefined here: {row.reason}." if row.value is None else row.meaning


def _table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    numeric: set[int],
    wraps: frozenset[int] | set[int] = frozenset(),
) -> str:
    def kind(place: int) -> str:
        return ' class="n"' if place in numeric else ' class="w"' if place in wraps else ""

    head = "".join(f"<th{kind(place)}>{escape(text)}</th>" for place, text in enumerate(heads))
    body = "".join(
        "<tr>" + "".join(f"<td{kind(place)}>{escape(text)}</td>" for place, text in enumerate(row)) + "</tr>"
        for row in rows
    )
    none = f'<tr><td colspan="{len(heads)}" class="dim">None.</td></tr>'
    return f'<div class="wide"><table><tr>{head}</tr>{body or none}</table></div>'


def _true_minus(text: str) -> str:
    """A hyphen before a number that is no part of a date, a range or a name becomes a minus sign."""
    return re.sub(r"(?<![\w-])-(?=[\d.])", _MINUS, text)


def _day(at: datetime | None) -> str:
    return _NONE if at is None else f"{at:%Y-%m-%d}"


def _minute(at: datetime | None) -> str:
    return _NONE if at is None else f"{at:%Y-%m-%d %H:%M}"


def _plain(value: Decimal) -> str:
    text = f"{value:,f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", _MINUS)
