"""Facts and commands survive the way into JSON and back; what is no fact is refused by name."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.codec import (
    decode,
    decode_command,
    decode_fact,
    digest_of,
    encode,
    plain,
    to_json,
    utc_from_text,
    utc_text,
)
from engine.domain.commands import Actor, CancelOrder, Command, CommandBody, Role, SetAllocation
from engine.domain.errors import StorageError
from engine.domain.facts import Fact
from engine.domain.instruments import InstrumentKey
from engine.domain.orders import Fill, Liquidity, Refused, Side

AT = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)
FILL = Fill(
    "demo-a", "main", "t1", "d1", "v1", InstrumentKey("demo-a:BTC/USDT"), Side.BUY, Decimal("0.10"),
    Decimal("50000.00"), Decimal("5"), "USDT", Liquidity.TAKER, AT,
)  # fmt: skip
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=11)), timezone(timedelta(hours=-8, minutes=-30))])

st.register_type_strategy(Decimal, st.decimals(allow_nan=False, allow_infinity=False))
st.register_type_strategy(
    datetime, st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=ZONES)  # noqa: DTZ001 - bounds
)  # fmt: skip


def any_of(kind: type) -> Any:
    return st.from_type(kind)


@pytest.mark.parametrize("kind", [*get_args(Fact), *get_args(CommandBody)], ids=lambda kind: kind.__name__)
def test_encode_when_any_fact_or_body_then_decode_gives_it_back(kind: type) -> None:
    @settings(max_examples=25, deadline=None)
    @given(any_of(kind))
    def round_trip(fact: Any) -> None:
        text = to_json(encode(fact))
        assert decode(json.loads(text)) == fact
        assert to_json(encode(decode(json.loads(text)))) == text
        assert text.isascii()

    round_trip()


def test_encode_when_a_fill_then_decimals_keep_their_text_and_times_are_utc() -> None:
    assert encode(FILL) == {
        "type": "Fill",
        "venue": "demo-a",
        "account": "main",
        "trade_id": "t1",
        "client_id": "d1",
        "venue_order_id": "v1",
        "instrument": "demo-a:BTC/USDT",
        "side": "buy",
        "quantity": "0.10",
        "price": "50000.00",
        "fee": "5",
        "fee_currency": "USDT",
        "liquidity": "taker",
        "at": "2026-03-04T05:06:07.000089Z",
        "cause": "trade",
    }


def test_encode_when_a_command_then_its_body_is_tagged() -> None:
    weights = (("momentum", Decimal("0.5")), ("breakout", Decimal("0.25")))
    command = Command("c1", Actor("jo", Role.ADMIN, "cli"), AT, "why", SetAllocation("demo", "fixed", weights))
    text = to_json(encode(command))
    assert json.loads(text)["body"] == {
        "type": "SetAllocation",
        "book": "demo",
        "method": "fixed",
        "weights": [["momentum", "0.5"], ["breakout", "0.25"]],
    }
    assert decode_command(text) == command


def test_decode_when_a_field_with_default_is_missing_then_the_default_counts() -> None:
    data = encode(FILL)
    order = {"type": "OrderUpdate", "client_id": "d1", "venue": "v", "instrument": "v:A/B", "state": "working"}
    update = decode({**order, "filled": "0", "at": data["at"]})
    assert getattr(update, "venue_order_id", "missing") is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"type": "Filled"}, "Filled"),
        ({"type": None}, "None"),
        ({"type": "Outcome"}, "Outcome"),
        ({"quantity": 0.1}, "0.1"),
        ({"quantity": "ten"}, "Fill"),
        ({"quantity": "NaN"}, "NaN"),
        ({"at": "2026-03-04T05:06:07"}, "zone"),
        ({"at": 5}, "5"),
        ({"side": "long"}, "long"),
        ({"venue": None}, "None"),
        ({"more": 1}, "more"),
    ],
    ids=str,
)
def test_decode_when_a_value_is_wrong_then_storage_error_names_it(change: dict[str, Any], named: str) -> None:
    with pytest.raises(StorageError, match=named):
        decode({**encode(FILL), **change})


def test_decode_when_a_field_is_missing_then_storage_error_names_it() -> None:
    data = encode(FILL)
    del data["price"]
    with pytest.raises(StorageError, match="price"):
        decode(data)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"Fill"', '{"type":["Fill"]}', '{"type":"CancelOrder"}'])
def test_decode_fact_when_the_text_is_no_fact_then_storage_error(text: str) -> None:
    with pytest.raises(StorageError):
        decode_fact(text)


def test_decode_command_when_the_text_is_another_fact_then_storage_error() -> None:
    with pytest.raises(StorageError, match="Fill"):
        decode_command(to_json(encode(FILL)))


def test_encode_when_the_value_is_no_fact_then_storage_error() -> None:
    refused = Refused(FILL.instrument, "momentum", None, Decimal(1), "rule", "1", "2", "", AT)
    with pytest.raises(StorageError, match="Refused"):
        encode(refused)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_encode_when_a_number_is_not_finite_then_storage_error(number: str) -> None:
    with pytest.raises(StorageError, match="finite"):
        encode(replace(FILL, price=Decimal(number)))


def test_encode_when_a_time_is_naive_then_storage_error() -> None:
    with pytest.raises(StorageError, match="zone"):
        encode(replace(FILL, at=datetime(2026, 1, 1)))  # noqa: DTZ001 - the point of the test


def test_to_json_when_keys_are_in_any_order_then_the_text_is_the_same() -> None:
    body = CancelOrder("demo", "d1")
    assert to_json(dict(reversed(encode(body).items()))) == to_json(encode(body))


@given(st.datetimes(timezones=ZONES))
@settings(max_examples=50, deadline=None)
def test_utc_text_when_any_zone_then_the_instant_and_its_order_stay(at: datetime) -> None:
    if not 2 < at.year < 9998:
        return
    assert utc_from_text(utc_text(at)) == at
    assert len(utc_text(at)) == 27
    assert (utc_text(at) < utc_text(AT)) == (at < AT)


@given(st.decimals(allow_nan=False, allow_infinity=False))
@settings(max_examples=100, deadline=None)
def test_plain_when_any_number_then_equal_values_have_one_text(number: Decimal) -> None:
    assert Decimal(plain(number)) == number
    assert plain(Decimal(plain(number))) == plain(number)
    assert "E" not in plain(number)


def test_plain_when_there_are_more_digits_than_the_context_keeps_then_none_is_lost() -> None:
    assert plain(Decimal("1." + "1" * 40 + "0")) == "1." + "1" * 40


def test_digest_when_ids_differ_then_it_is_the_same_and_when_money_differs_then_not() -> None:
    same = replace(FILL, trade_id="t9", client_id="d9", venue_order_id="v9", quantity=Decimal("0.1"), account="other")
    assert digest_of([FILL, FILL]) == digest_of([same, FILL])
    for other in (
        replace(FILL, price=Decimal("50000.01")),
        replace(FILL, side=Side.SELL),
        replace(FILL, at=AT + timedelta(microseconds=1)),
        replace(FILL, fee_currency="BTC"),
    ):
        assert digest_of([other]) != digest_of([FILL])


def test_digest_when_the_order_changes_then_it_changes() -> None:
    other = replace(FILL, price=Decimal(1))
    assert digest_of([FILL, other]) != digest_of([other, FILL])


def test_digest_when_one_known_fill_then_the_documented_line_is_hashed() -> None:
    # sha256 of "demo-a:BTC/USDT,buy,0.1,50000,5,USDT,2026-03-04T05:06:07.000089Z\n"
    assert digest_of([FILL]) == "b69bbec31518921eec7678d10088d7cc54564025f092334a71ce6184c88f0f65"
