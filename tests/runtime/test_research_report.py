"""The report of a backtest: one file that fetches nothing, runs nothing, and shows untrusted text as text."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from research_record import curve, record

from engine.domain.research import BacktestView, Histogram, RunNote, RunTrade
from engine.domain.views import JobState, JobView
from engine.runtime.research_report import MOST_TRADES, report_of
from engine.runtime.research_views import row_of, trade_of, view_of

AT = datetime(2026, 3, 14, 9, tzinfo=UTC)
ATTACKS = (
    "<script>alert(1)</script>",
    "</pre><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "<a href='https://evil.example'>click</a>",
    "</style><style>@import url(//evil.example)</style>",
    "</title><meta http-equiv=refresh content='0;url=//evil.example'>",
    "&lt;script&gt; <!-- --> ]]>",
)


class Elements(HTMLParser):
    """Every element with its attributes, and the text outside of the style sheet."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


KNOWN = {
    "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "div", "b", "ul", "li", "pre", "table", "tr",
    "th", "td", "svg", "polyline", "polygon", "rect",
}  # fmt: skip


def trades(**changes: str) -> tuple[RunTrade, ...]:
    rows = record()["trades"]
    return tuple(trade_of(number, {**body, **changes}) for number, body in enumerate(rows, start=1))


def view(note: str = "", **changes: object) -> BacktestView:
    kept = RunNote(note, note or "sam", AT) if note else None
    job = JobView("b-1", "backtest", "momentum", JobState.DONE, 1.0, "done", AT, 1.4, 0.0, "{}")
    body = record(**changes)
    return view_of(body, row_of(body, job, kept), curve(), trades())


def page(of: BacktestView, rows: tuple[RunTrade, ...] = ()) -> str:
    return report_of(of, rows, AT).decode()


def harmless(text: str) -> Elements:
    """Only known elements, no handler, no address, and a policy that forbids all of them."""
    read = Elements(text)
    assert {tag for tag, _ in read.found} <= KNOWN
    names = {name for _, attributes in read.found for name in attributes}
    assert not {name for name in names if name.startswith("on")} | names & {"href", "src", "action", "xlink:href"}
    policies = [attributes for tag, attributes in read.found if attributes.get("http-equiv")]
    assert [policy["http-equiv"] for policy in policies] == ["Content-Security-Policy"]
    assert "default-src 'none'" in str(policies[0]["content"])
    assert not re.search(r"url\(|@import", text.partition("<style>")[2].partition("</style>")[0])
    return read


def test_report_when_made_then_verdict_figures_charts_and_trades_are_in_it() -> None:
    read = harmless(page(view(), trades()))
    for words in ("Not distinguishable from luck", "Sharpe ratio", "no trade has lost", "11,409.10", "Why trades ended",
                  "Trades, 105", "Fast trend average (bars)", "no promise"):  # fmt: skip
        assert words in read.text
    assert [tag for tag, _ in read.found].count("svg") == 2


@pytest.mark.parametrize("attack", ATTACKS)
def test_note_when_it_attacks_then_it_is_read_as_it_was_written(attack: str) -> None:
    assert attack in harmless(page(view(note=attack))).text


@pytest.mark.parametrize("attack", ATTACKS)
def test_record_when_it_attacks_then_nothing_of_it_is_obeyed(attack: str) -> None:
    verdict = {**record()["verdict"], "line": attack, "reasons": [attack]}
    series = [{**part, "instrument": f"x:{attack}", "sha256": attack} for part in record()["series"]]
    read = harmless(
        page(
            view(
                verdict=verdict, series=series, currency=attack, strategy=attack, stop_reason=attack,
                stopped_at="2024-01-01T00:00:00Z", settings={attack: attack}, revision=attack,
                regimes=[{"name": attack}], exit_reasons=[{"reason": attack, "trades": 1, "pnl": "1"}],
            ),
            trades(exit_reason=attack, instrument=attack, side=attack),
        )
    )  # fmt: skip
    assert attack in read.text


@settings(max_examples=80)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=200))
def test_note_when_any_text_then_no_element_comes_from_it(text: str) -> None:
    assert text in harmless(page(view(note=text))).text


def test_trades_when_listed_then_prices_have_the_decimals_of_the_instrument_and_headings_differ() -> None:
    series = [{**part, "tick_size": "0.01"} for part in record()["series"]]
    text = page(view(series=series), trades(entry_price="40000.12345678", stop_price="39200.00000000"))
    assert ">40,000.12<" in text
    assert ">39,200.00<" in text
    assert ">Entry price<" in text
    assert ">at<" not in text


def test_numbers_when_negative_then_a_true_minus_also_in_reasons_and_charts() -> None:
    reason = "the interval of -63.5 % to 12 % since 2020-01-02 includes a loss"
    read = harmless(page(view(verdict={**record()["verdict"], "reasons": [reason]}), trades()))
    assert "of −63.5 % to 12 % since 2020-01-02 includes" in read.text
    assert "deepest −" in read.text
    assert not re.search(r"(?<![\w-])-\d", read.text.partition("Equity")[2])


def test_report_when_twice_the_costs_ended_on_another_day_then_said_and_passed_tests_stand_apart() -> None:
    line = "at twice the costs the brake stopped it on 2024-01-05 after 65 of 420 days; the figures are of these days"
    verdict = {**record()["verdict"], "passed": ["overfitting <0.04>"]}
    text = harmless(page(view(verdict=verdict, double_costs={**record()["double_costs"], "days": {"line": line}}))).text
    assert f"At twice the costsA{line[1:]}." in text
    places = [text.index(one) for one in ("What failed:", "better than 81 %", "Passed, which alone", "overfitting <0")]
    assert places == sorted(places)
    old = page(view())
    assert "Passed, which" not in old
    assert "the brake stopped it" not in old


def test_trades_when_too_many_then_the_report_says_how_many_it_leaves_out() -> None:
    one = trades()[0]
    rows = tuple(replace(one, number=number) for number in range(1, MOST_TRADES + 43))
    assert "The 42 oldest trades are not listed." in harmless(page(view(), rows)).text


def test_report_when_there_was_no_trade_then_no_chart_of_results() -> None:
    empty = replace(view(), distribution=Histogram(np.array([], np.float64), np.array([], np.int64)), exits=())
    read = harmless(page(empty))
    assert "Trades, 0" in read.text
    assert [tag for tag, _ in read.found].count("svg") == 1
