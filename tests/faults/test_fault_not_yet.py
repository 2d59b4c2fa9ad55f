"""Rows of the fault list whose part does not exist yet, or whose proof has another name, each with its reason."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROWS = range(1, 71)

NOT_YET = {
    58: "no key service: keys are opened from the vault when a venue starts, and stay in memory",
    69: "no hedges: a book holds no positions that belong together beyond a basket's legs, which fault 21 unwinds",
}

PARTS_NOT_YET = {
    "37, changed fees": "nothing compares the fees of executions with those that are expected",
    "39, frozen transfers": "no exchange is asked whether deposits and withdrawals of a coin are open",
}
"""Halves of rows whose other half has its test."""

ELSEWHERE = {
    27: "exchanges/test_connected_line.py::test_nonce_after_restart_and_clock_stepped_back_then_still_rises",
    40: "runtime/test_connected_books.py::test_testnet_when_the_exchange_has_no_sandbox_then_it_says_so",
    51: "storage/test_migrate.py::test_migrate_when_killed_half_way_then_the_next_start_begins_again",
    70: "pages/test_page_header.py::test_header_when_data_ages_then_greys_and_says_stale",
}
"""Rows whose test is named after its part instead of the row: file and function."""


def _functions(path: Path) -> set[str]:
    """Names of the test functions of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {each.name for each in functions if each.name.startswith("test_")}


@pytest.mark.parametrize("number", sorted(NOT_YET))
def test_fault_of_a_part_that_does_not_exist_yet(number: int) -> None:
    pytest.skip(f"fault {number}: {NOT_YET[number]}")


@pytest.mark.parametrize("part", sorted(PARTS_NOT_YET))
def test_half_a_fault_that_is_not_noticed_yet(part: str) -> None:
    pytest.skip(f"fault {part}: {PARTS_NOT_YET[part]}")


@pytest.mark.parametrize("number", sorted(ELSEWHERE))
def test_fault_proved_under_another_name_then_that_test_is_there(number: int) -> None:
    file, _, name = ELSEWHERE[number].partition("::")
    assert name in _functions(ROOT / file)


def test_every_row_of_the_list_then_has_a_test_of_its_name_or_a_reason() -> None:
    names = {name for path in ROOT.rglob("test_*.py") for name in _functions(path)}
    named = {number for number in ROWS if any(name.startswith(f"test_fault_{number:02d}_") for name in names)}
    assert set(ROWS) - named - NOT_YET.keys() - ELSEWHERE.keys() == set()
    assert not named & (NOT_YET.keys() | ELSEWHERE.keys())
