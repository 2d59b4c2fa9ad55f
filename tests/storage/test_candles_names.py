"""What file names say, and what they are not believed."""

from __future__ import annotations

import pytest

from engine.domain.errors import BadInput, CandleError
from engine.domain.instruments import Kind
from engine.domain.market import Timeframe
from engine.storage.candle_names import Content, NameFlags, read_name, with_folder
from engine.storage.candle_segments import folder_name, series_folder


@pytest.mark.parametrize(
    ("name", "key", "timeframe", "content"),
    [
        ("spot_binance/BTC_USDT-1h.parquet", "binance:BTC/USDT", "1h", Content.CANDLES),
        ("spot_binance/BTC_USDT-1m_202408.parquet", "binance:BTC/USDT", "1m", Content.CANDLES),
        ("spot_kraken/ETH_USDT-1d.csv", "kraken:ETH/USDT", "1d", Content.CANDLES),
        ("futures_binance/BTC_USDT_USDT-1h-futures.parquet", "binance:BTC/USDT:USDT", "1h", Content.CANDLES),
        ("futures_bybit/BTC_USDT-5m.csv", "bybit:BTC/USDT:USDT", "5m", Content.CANDLES),
        ("futures_bybit/BTC_USDT_USDT-4h-mark.parquet", "bybit:BTC/USDT:USDT", "4h", Content.MARK),
        ("futures_bybit/BTC_USDT_USDT-funding.parquet", "bybit:BTC/USDT:USDT", None, Content.FUNDING),
        ("futures_binance/BTC_USDT_USDT-1h-funding_rate.csv", "binance:BTC/USDT:USDT", None, Content.FUNDING),
        ("futures_binance\\1000PEPE_USDT_USDT-1h-futures.csv", "binance:1000PEPE/USDT:USDT", "1h", Content.CANDLES),
    ],
)
def test_name_when_in_a_named_folder_says_everything(
    name: str, key: str, timeframe: str | None, content: Content
) -> None:
    file = read_name(name)
    assert file.key == key
    assert file.timeframe == (Timeframe.parse(timeframe) if timeframe else None)
    assert file.content is content


def test_name_when_alone_takes_the_rest_from_flags() -> None:
    file = read_name("BTC_USDT-1h.parquet", NameFlags(venue="kraken", kind=Kind.SPOT))
    assert (file.key, str(file.timeframe)) == ("kraken:BTC/USDT", "1h")
    everything = NameFlags("okx", Kind.PERPETUAL, "btc", "usdt", Timeframe.parse("15m"))
    assert read_name("my prices.csv", everything).key == "okx:BTC/USDT:USDT"


def test_name_when_flag_and_folder_differ_believes_the_flag() -> None:
    assert read_name("spot_binance/BTC_USDT-1h.csv", NameFlags(venue="bybit")).venue == "bybit"
    assert read_name("spot_binance/BTC_USDT-1h.csv", NameFlags(kind=Kind.PERPETUAL)).kind is Kind.PERPETUAL


@pytest.mark.parametrize(
    ("name", "flags", "said"),
    [
        ("BTC_USDT-1h.parquet", NameFlags(), "--venue"),
        ("downloads/BTC_USDT-1h.parquet", NameFlags(), "--venue"),
        ("BTC_USDT-1h.parquet", NameFlags(venue="binance"), "--kind"),
        ("spot_binance/BTC_USDT.parquet", NameFlags(), "--timeframe"),
        ("spot_binance/BTC_USDT-1M.parquet", NameFlags(), "a month"),
        ("spot_binance/BTC_USDT-7x.parquet", NameFlags(), "timeframe '7x'"),
        ("spot_binance/BTC_USDT-0m.parquet", NameFlags(), "timeframe '0m'"),
        ("spot_binance/BTC_USDT-1h.parquet", NameFlags(timeframe=Timeframe(60)), "--timeframe says 1m"),
        ("spot_binance/BTC_USDT-1h.parquet", NameFlags(base="ETH"), "--symbol says ETH"),
        ("spot_binance/prices.parquet", NameFlags(), "--symbol"),
        ("spot_binance/BTC_USDT-1h.feather", NameFlags(), "neither"),
        ("spot_binance/BTC_USDT-1h.csv.gz", NameFlags(), "neither"),
        ("spot_binance/BTC_USDT_USDT-1h-futures.csv", NameFlags(), "says perpetual"),
        ("futures_binance/BTC_USDT_USDT-1h.csv", NameFlags(kind=Kind.SPOT), "says perpetual"),
        ("futures_binance/BTC_USD_BTC-1h-futures.csv", NameFlags(), "linear"),
        ("BTC_USDT-1h.csv", NameFlags(venue="Bin ance", kind=Kind.SPOT), "--venue"),
        ("BTC_USDT-1h.csv", NameFlags(venue="../x", kind=Kind.SPOT), "--venue"),
        ("x.csv", NameFlags("binance", Kind.SPOT, "../../etc", "USDT", Timeframe(60)), "not a coin"),
        ("", NameFlags(), "empty"),
        ("A" * 300 + ".csv", NameFlags(), "too long"),
        ("BTC_USDT-1h\n.csv", NameFlags(), "cannot be shown"),
        ("BTC_USDT-1h.csv\0.parquet", NameFlags(), "cannot be shown"),
        ("../spot_binance/BTC_USDT-1h.csv", NameFlags(), "holds a path"),
        ("spot_binance/../BTC_USDT-1h.csv", NameFlags(), "holds a path"),
        ("/spot_binance/BTC_USDT-1h.csv", NameFlags(), "holds a path"),
        ("/BTC_USDT-1h.csv", NameFlags(), "holds a path"),
        ("C:\\BTC_USDT-1h.csv", NameFlags(), "holds a path"),
        ("..\\..\\BTC_USDT-1h.csv", NameFlags(), "holds a path"),
    ],
)
def test_name_when_unclear_or_hostile_refuses_and_says_the_way_out(name: str, flags: NameFlags, said: str) -> None:
    with pytest.raises(CandleError) as caught:
        read_name(name, flags)
    assert said in str(caught.value)


def test_with_folder_when_the_folder_says_nothing_leaves_it_out() -> None:
    assert with_folder("BTC_USDT-1h.csv", "spot_binance") == "spot_binance/BTC_USDT-1h.csv"
    assert with_folder("BTC_USDT-1h.csv", "Downloads") == "BTC_USDT-1h.csv"
    assert with_folder("spot_kraken/BTC_USDT-1h.csv", "spot_binance") == "spot_kraken/BTC_USDT-1h.csv"


@pytest.mark.parametrize("key", ["../x:A/B", "a/b:BTC/USDT", "BINANCE:BTC/USDT", ":BTC/USDT", "binance:", "binance:/"])
def test_folder_when_the_key_is_hostile_refuses(tmp_path, key) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadInput):
        series_folder(tmp_path, key, Timeframe(60))


@pytest.mark.parametrize("coin", ["..", "../..", "a/b", "CON", "x\0y", "kPEPE", "币", "BTC.", "NUL "])
def test_folder_when_the_coin_is_strange_stays_below_the_root(tmp_path, coin) -> None:  # type: ignore[no-untyped-def]
    folder = series_folder(tmp_path, f"binance:{coin}/USDT", Timeframe(60))  # type: ignore[arg-type]
    assert folder.resolve().is_relative_to(tmp_path)
    assert len(folder.relative_to(tmp_path).parts) == 3
    assert folder.name == "1m"


def test_folder_name_when_two_names_differ_in_case_differs_without_it() -> None:
    assert folder_name("kPEPE").lower() != folder_name("KPEPE").lower()
    with pytest.raises(BadInput, match="cannot name"):
        folder_name("X" * 81)
