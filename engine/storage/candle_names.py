"""What the name of a market-data file says: instrument, timeframe, and whether it holds candles, marks or funding."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath

from engine.domain.errors import BadInput, CandleError
from engine.domain.instruments import InstrumentKey, Kind
from engine.domain.market import Timeframe

_COIN = "[A-Z0-9]{1,20}"
_NAME = re.compile(
    rf"(?P<base>{_COIN})_(?P<quote>{_COIN})(?:_(?P<settle>{_COIN}))?"
    r"(?:-(?P<timeframe>\d{1,4}[A-Za-z]))?"
    r"(?:-(?P<content>futures|mark|funding|funding_rate))?"
    r"(?:_\d{4,8})?\.(?P<format>parquet|csv)"
)
_FOLDER = re.compile(r"(?P<kind>spot|futures)_(?P<venue>[a-z0-9][a-z0-9-]{0,31})")
_KINDS = {"spot": Kind.SPOT, "futures": Kind.PERPETUAL}
_LONGEST_NAME = 200


class Content(Enum):
    """What a market-data file holds."""

    CANDLES = "candles"
    MARK = "mark prices"
    FUNDING = "funding rates"


class FileFormat(Enum):
    """How a market-data file is written."""

    PARQUET = "parquet"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class NameFlags:
    """What a person states about a file; each wins over the folder's name, none may contradict the file's name.

    ``base`` and ``quote`` are coins; None leaves the question to the names.
    """

    venue: str | None = None
    kind: Kind | None = None
    base: str | None = None
    quote: str | None = None
    timeframe: Timeframe | None = None


@dataclass(frozen=True, slots=True)
class DataFile:
    """Everything known about a market-data file before it is opened; ``timeframe`` is None only for funding."""

    name: str
    format: FileFormat
    content: Content
    venue: str
    kind: Kind
    base: str
    quote: str
    timeframe: Timeframe | None

    @property
    def key(self) -> InstrumentKey:
        """The instrument, as events and positions name it."""
        settle = f":{self.quote}" if self.kind is Kind.PERPETUAL else ""
        return InstrumentKey(f"{self.venue}:{self.base}/{self.quote}{settle}")


def read_name(name: str, flags: NameFlags | None = None) -> DataFile:
    """Read ``BTC_USDT-1h.parquet``, ``spot_binance/BTC_USDT-1m_202408.csv``, ``BTC_USDT_USDT-1h-futures.parquet``.

    A second ``_USDT`` or the ending ``-futures`` means a perpetual; ``-mark`` and ``-funding`` are recognised. Venue
    and kind come from the flags or from a folder called ``spot_VENUE`` or ``futures_VENUE`` before the name.

    Raises
    ------
    CandleError
        The name cannot be understood, contradicts a flag, or leaves a question open; the message names the flag.

    Examples
    --------
    >>> file = read_name("futures_bybit/BTC_USDT_USDT-5m-futures.parquet")
    >>> file.key, str(file.timeframe), file.content
    ('bybit:BTC/USDT:USDT', '5m', <Content.CANDLES: 'candles'>)
    """
    flags = flags or NameFlags()
    folder, file = _parts(name)
    match = _NAME.fullmatch(file)
    fields = match.groupdict() if match else _unnamed(file, flags)
    content = _content(fields["content"])
    base, quote = _coins(file, fields, flags)
    return DataFile(
        name=file,
        format=FileFormat(fields["format"]),
        content=content,
        venue=_venue(file, folder, flags),
        kind=_kind(file, fields, folder, flags),
        base=base,
        quote=quote,
        timeframe=None if content is Content.FUNDING else _timeframe(file, fields["timeframe"], flags),
    )


def _parts(name: str) -> tuple[str | None, str]:
    shown = repr(name[:80])
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise CandleError(f"file name {shown} is empty, too long or holds characters that cannot be shown")
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if len(parts) not in (1, 2) or ".." in parts or parts[0].endswith(("/", ":")):
        raise CandleError(f"file name {shown} holds a path; give the name alone, such as BTC_USDT-1h.parquet")
    return (parts[0] if len(parts) == 2 else None), parts[-1]


def _unnamed(file: str, flags: NameFlags) -> dict[str, str | None]:
    ending = re.search(r"\.(parquet|csv)$", file)
    if ending is None:
        raise CandleError(f"{file!r} is neither a .parquet nor a .csv file; convert it to one of them")
    if flags.base is None or flags.quote is None or flags.timeframe is None:
        raise CandleError(
            f"{file!r} is not named like BTC_USDT-1h.parquet or BTC_USDT_USDT-1h-futures.parquet; rename it, or give "
            "--symbol BASE/QUOTE and --timeframe"
        )
    return {"base": None, "quote": None, "settle": None, "timeframe": None, "content": None, "format": ending[1]}


def _content(ending: str | None) -> Content:
    if ending == "mark":
        return Content.MARK
    return Content.FUNDING if ending in ("funding", "funding_rate") else Content.CANDLES


def _coins(file: str, fields: dict[str, str | None], flags: NameFlags) -> tuple[str, str]:
    settle, quote = fields["settle"], fields["quote"]
    if settle is not None and settle != quote:
        raise CandleError(f"{file}: settled in {settle}, priced in {quote}; only linear perpetuals can be used")
    coins = []
    for named, stated in ((fields["base"], flags.base), (quote, flags.quote)):
        stated = stated.strip().upper() if stated is not None else None
        if named is not None and stated is not None and stated != named:
            raise CandleError(f"{file}: the name says {named}, --symbol says {stated}; correct one of them")
        coin = stated or named or ""
        if re.fullmatch(_COIN, coin) is None:
            raise CandleError(f"{file}: {coin[:40]!r} is not a coin (1 to 20 letters and digits); give --symbol")
        coins.append(coin)
    return coins[0], coins[1]


def _venue(file: str, folder: str | None, flags: NameFlags) -> str:
    if flags.venue is not None:
        if re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,31}", flags.venue) is None:
            raise CandleError(f"venue {flags.venue[:40]!r} of --venue is not up to 32 lower-case letters and digits")
        return flags.venue
    match = _FOLDER.fullmatch(folder or "")
    if match is None:
        raise CandleError(
            f"{file}: which venue are these candles from? Give --venue (binance, say), or put the file into a folder "
            "named spot_binance or futures_binance"
        )
    return match["venue"]


def _kind(file: str, fields: dict[str, str | None], folder: str | None, flags: NameFlags) -> Kind:
    match = _FOLDER.fullmatch(folder or "")
    outside = flags.kind or (_KINDS[match["kind"]] if match else None)
    perpetual = fields["settle"] is not None or fields["content"] is not None
    if perpetual and outside is Kind.SPOT:
        raise CandleError(f"{file}: the name says perpetual, --kind or the folder says spot; correct one of them")
    if perpetual:
        return Kind.PERPETUAL
    if outside is None:
        raise CandleError(
            f"{file}: spot or perpetual? Give --kind spot or --kind perpetual, or put the file into a folder named "
            "spot_VENUE or futures_VENUE"
        )
    return outside


def _timeframe(file: str, named: str | None, flags: NameFlags) -> Timeframe:
    if named is not None and named.endswith("M"):
        raise CandleError(f"{file}: candles of a month have no fixed length and cannot be used; take 1d")
    try:
        timeframe = Timeframe.parse(named) if named is not None else flags.timeframe
    except BadInput as error:
        raise CandleError(f"{file}: {error}") from error
    if timeframe is None:
        raise CandleError(f"{file}: how long is a candle? Give --timeframe (1m, 5m, 1h, 4h or 1d, say)")
    if flags.timeframe is not None and flags.timeframe != timeframe:
        raise CandleError(f"{file}: the name says {timeframe}, --timeframe says {flags.timeframe}; correct one of them")
    return timeframe


def with_folder(name: str, folder: str) -> str:
    """``name`` behind the folder it lies in, where that folder says venue and kind; else ``name`` alone."""
    return f"{folder}/{name}" if _FOLDER.fullmatch(folder) and "/" not in name and "\\" not in name else name
