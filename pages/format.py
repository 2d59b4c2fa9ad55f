"""Numbers, money, times and ages as people read them; formatting only, nothing is computed here."""

from __future__ import annotations

import html
import math
import re
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from engine.runtime.titles import with_titles

Number = Decimal | float | int

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EM DASH}"
GREY_AFTER_S = 5.0
STALE_AFTER_S = 15.0
_INSTRUMENT = re.compile(r"(?:\b([a-z][a-z0-9_.-]*):)?\b([A-Z0-9]+/[A-Z0-9]+)(:[A-Z0-9]+)?")
_WORD = re.compile(r"[a-z]+(?:[ ,;:'\u2019]|\.?$)")


class Html(str):
    """Text that is already safe to place in a page; everything else is escaped on its way in."""

    __slots__ = ()


def safe(value: object) -> Html:
    """Escape ``value`` unless it is `Html` already.

    >>> safe("<b>")
    '&lt;b&gt;'
    >>> safe(Html("<b>"))
    '<b>'
    """
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def number(value: Number | None, places: int = 2, *, signed: bool = False) -> str:
    """Thousands separated, a true minus sign, a dash for unknown.

    >>> number(Decimal("-1234.5")), number(0.5, 1, signed=True), number(None)
    ('−1,234.50', '+0.5', '—')
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return NONE
    text = f"{value:,.{places}f}"
    if text.strip("-0.,") == "":
        text = text.lstrip("-")
    elif signed and not text.startswith("-"):
        text = f"+{text}"
    return text.replace("-", MINUS)


def money(value: Number | None, currency: str, places: int = 2, *, signed: bool = False) -> str:
    """An amount with its currency.

    >>> money(Decimal("10432.179"), "USDT")
    '10,432.18 USDT'
    """
    return f"{number(value, places, signed=signed)} {currency}"


def percent(share: Number | None, places: int = 2, *, signed: bool = False) -> str:
    """A share (0.1 is ten percent) in percent.

    >>> percent(Decimal("-0.0123")), percent(0.5, 0)
    ('−1.23 %', '50 %')
    """
    return NONE if share is None else f"{number(share * 100, places, signed=signed)} %"


def basis_points(share: Number | None) -> str:
    """A share in basis points.

    >>> basis_points(Decimal("0.00025"))
    '2.5 bp'
    """
    return NONE if share is None else f"{number(share * 10_000, 1)} bp"


def quantity(value: Number | None, *, signed: bool = False) -> str:
    """A quantity with the decimals it has, at most eight.

    >>> quantity(Decimal("0.50000000")), quantity(Decimal("-1200")), quantity(Decimal("0E-8"))
    ('0.5', '−1,200', '0')
    """
    if value is None:
        return NONE
    text = number(value, 8, signed=signed)
    return text.rstrip("0").rstrip(".") if "." in text else text


def fee(value: Number | None) -> str:
    """A fee to a hundredth of a cent; a smaller one, as in coins, with three digits that count.

    >>> fee(Decimal("1.23456789")), fee(Decimal("0.0269")), fee(Decimal("0.0000123456")), fee(Decimal(0))
    ('1.2346', '0.0269', '0.0000123', '0')
    """
    if value is None:
        return NONE
    size = abs(float(value))
    places = 4 if not size or size >= 0.01 else 2 - math.floor(math.log10(size))
    return number(value, min(places, 8)).rstrip("0").rstrip(".")


def price(value: Number | None) -> str:
    """A price: a Decimal keeps its tick, a float gets the decimals its size deserves.

    >>> price(Decimal("64012.50")), price(0.01234567), price(64012.5)
    ('64,012.50', '0.012346', '64,012.50')
    """
    if value is None:
        return NONE
    if isinstance(value, Decimal):
        exponent = value.as_tuple().exponent
        return number(value, max(0, min(8, -exponent)) if isinstance(exponent, int) else 2)
    size = abs(value)
    return number(value, 2 if size >= 100 else 4 if size >= 1 else 6)


def entry_price(value: Decimal, tick: Decimal | None) -> str:
    """An average price: two digits more than the instrument's own prices have; all it has where the tick is unknown.

    >>> entry_price(Decimal("55804.30566038"), Decimal("0.10")), entry_price(Decimal("0.5"), None)
    ('55,804.306', '0.5')
    """
    if tick is None:
        return price(value)
    exponent = tick.normalize().as_tuple().exponent
    return price(round(value, max(0, -exponent) + 2 if isinstance(exponent, int) else 2))


def age(seconds: float | None) -> str:
    """How long ago, in the one unit that matters.

    >>> age(0.42), age(75), age(7200), age(200000), age(None)
    ('0.4 s', '1 min', '2 h', '2 d', '—')
    """
    if seconds is None:
        return NONE
    if seconds < 0:
        return "0 s"
    if seconds < 10:
        return f"{seconds:.1f} s"
    for limit, divisor, unit in ((60, 1, "s"), (3600, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds // divisor)} {unit}"
    return f"{int(seconds // 86400)} d"


def seconds_since(at: datetime | None, now: datetime) -> float | None:
    """Wall seconds from ``at`` to ``now``, None where there is no ``at``."""
    return None if at is None else (now - at).total_seconds()


def duration(seconds: float | None) -> str:
    """A length of time, two units at most.

    >>> duration(3725), duration(42), duration(None)
    ('1 h 2 min', '42 s', '—')
    """
    if seconds is None:
        return NONE
    whole = int(seconds)
    parts = ((whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s"))
    filled = [f"{count} {unit}" for count, unit in parts if count]
    return " ".join(filled[:2]) or "0 s"


def latency(seconds: float | None) -> str:
    """A latency in microseconds, milliseconds or seconds.

    >>> latency(0.00042), latency(0.0421), latency(3.2)
    ('420 µs', '42.1 ms', '3.20 s')
    """
    if seconds is None:
        return NONE
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def size(count: int) -> str:
    """Bytes in the unit people use.

    >>> size(512), size(3_500_000)
    ('512 B', '3.5 MB')
    """
    for unit, divisor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= divisor:
            return f"{count / divisor:.1f} {unit}"
    return f"{count} B"


def moment(at: datetime | None, zone: str = "UTC", *, date: bool = True) -> str:
    """Date and time to the second in ``zone``, without the zone's name.

    >>> moment(datetime(2026, 3, 1, 14, 3, 20, tzinfo=UTC))
    '2026-03-01 14:03:20'
    """
    if at is None:
        return NONE
    return at.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S" if date else "%H:%M:%S")


def now() -> datetime:
    """The wall clock, for ages."""
    return datetime.now(UTC)


def instrument(key: str) -> str:
    """The symbol of an instrument key with its venue behind it.

    >>> instrument("demo-b:BTC/USDT:USDT")
    'BTC/USDT perp · demo-b'
    """
    venue, _, symbol = key.partition(":")
    pair, perpetual, _ = symbol.partition(":")
    return f"{pair}{' perp' if perpetual else ''} · {venue}"


def named(text: str) -> str:
    """A sentence of the engine with strategies and instruments under the names that pages give them.

    >>> named("fills that close 2 demo-b:BTC/USDT:USDT"), named("funding of ETH/USDT:USDT")
    ('fills that close 2 BTC/USDT perp · demo-b', 'funding of ETH/USDT perp')
    >>> named("momentum holds no demo-a:ETH/USDT")
    'Trend momentum holds no ETH/USDT · demo-a'
    >>> named("reading and/or writing, 3/4 done: BTC/USDT")
    'reading and/or writing, 3/4 done: BTC/USDT'
    """
    return _INSTRUMENT.sub(_named, with_titles(text))


def _named(found: re.Match[str]) -> str:
    venue, pair, perpetual = found.groups()
    return f"{pair}{' perp' if perpetual else ''}{f' · {venue}' if venue else ''}"


def base_coin(key: str) -> str:
    """The coin that quantities of an instrument are in.

    >>> base_coin("demo-b:BTC/USDT:USDT")
    'BTC'
    """
    return key.partition(":")[2].partition("/")[0]


def sentence(text: str) -> str:
    """A message as people read it: its first word begins with a capital, unless it is a name such as a file's.

    >>> sentence("outage at demo-a"), sentence("demo-a is silent"), sentence("a.csv is empty"), sentence("")
    ('Outage at demo-a', 'demo-a is silent', 'a.csv is empty', '')
    """
    return text[:1].upper() + text[1:] if _WORD.match(text) else text


def words(name: str) -> str:
    """A code name as words.

    >>> words("mean_reversion")
    'Mean reversion'
    """
    text = name.replace("_", " ").replace("-", " ").strip()
    return text[:1].upper() + text[1:]
