"""Checks a strategy, of the product or of a person's own file, for look-ahead and for history it does not own up to."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

from engine.domain.codec import utc_text
from engine.domain.errors import BadInput
from engine.domain.market import CandleArrays
from engine.domain.ports import Strategy
from engine.runtime.replay_data import file_candles, read_file_facts
from engine.simulation.causality import CausalityPlan, CausalityReport, Fault, FaultKind, check_causality
from engine.simulation.market import MarketSimulator
from engine.simulation.market_day import day_start_ms
from engine.simulation.strategy_values import STRATEGY_ERRORS
from engine.storage.candle_import import ImportWatch
from engine.strategies import why_not_backtested
from engine.trading.sleeves import build_strategy

_DEMO_SEED = 7
_DEMO_DAYS = 4
_MODULE = "strategy_under_check"


def made_up_candles() -> CandleArrays:
    """Some days of one-minute candles as the demo's simulated market makes them, always the same."""
    market = MarketSimulator(_DEMO_SEED)
    key = market.instruments[0].key
    return market.window(key, day_start_ms(0), day_start_ms(_DEMO_DAYS))


def own_strategy(path: Path, name: str, settings: Mapping[str, Any]) -> Strategy:
    """The strategy that a Python file holds under a name; **the file's code is run**.

    Parameters
    ----------
    path : Path
    name : str
        A strategy, or a class or function that makes one.
    settings : mapping
        What the maker is called with. Where it takes one ``config`` whose class the file calls ``NAMEConfig``, the
        settings are that configuration's.

    Raises
    ------
    BadInput
        The file cannot be read or run, or holds no such strategy.
    """
    module = _loaded(path)
    if not hasattr(module, name):
        known = sorted(each for each in vars(module) if not each.startswith("_"))
        raise BadInput(f"{path.name} holds no {name}; it holds {', '.join(known)[:300]}")
    maker = getattr(module, name)
    if not callable(maker):
        return cast("Strategy", maker)
    config = getattr(module, f"{name}Config", None)
    try:
        made = maker(config(**settings)) if config is not None else maker(**settings)
    except STRATEGY_ERRORS as error:
        raise BadInput(f"{name} of {path.name} cannot be made: {type(error).__name__}: {error!s:.300}") from error
    return cast("Strategy", made)


def _loaded(path: Path) -> Any:
    if not path.is_file():
        raise BadInput(f"{path} is no file; give the Python file that holds the strategy")
    spec = importlib.util.spec_from_file_location(_MODULE, path)
    if spec is None or spec.loader is None:
        raise BadInput(f"{path.name} is no Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module  # dataclasses look their module up while the file runs
    try:
        spec.loader.exec_module(module)
    except (*STRATEGY_ERRORS, SyntaxError, OSError) as error:
        raise BadInput(f"{path.name} cannot be run: {type(error).__name__}: {error!s:.300}") from error
    return module


def check_one(
    name: str,
    settings: Mapping[str, Any],
    file: Path | None = None,
    candles: Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> CausalityReport:
    """Check one strategy.

    Parameters
    ----------
    name : str
        Of the product, or in ``file``.
    settings : mapping
    file : Path, optional
        A person's own; its code is run.
    candles : Path, optional
        A candle file; made-up candles of the demo's kind when left out.
    options : mapping, optional
        Facts about the candle file, as `read_file_facts` takes them.

    Raises
    ------
    BadInput
        What cannot be read, made or checked; a fault that was found is in the report instead.
    """
    if file is not None:
        return _checked_apart(name, settings, file, (candles, dict(options or {})))
    if refusal := why_not_backtested(name):
        raise BadInput(refusal)
    strategy = build_strategy(name, json.dumps(dict(settings), default=str))[0]
    series = made_up_candles() if candles is None else _file_candles(candles, options or {})
    return check_causality(name, strategy, series, CausalityPlan())


def _checked_apart(
    name: str, settings: Mapping[str, Any], file: Path, series: tuple[Path | None, dict[str, Any]]
) -> CausalityReport:
    """Check code that nobody knows in a process of its own: whatever it raises, even an exit, is a fault of it.

    Parameters
    ----------
    name, settings, file : as `check_one`
    series : tuple
        File of candles or None, and facts about it.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, name, dict(settings), file, series), daemon=True)
    process.start()
    sender.close()
    try:
        answer = receiver.recv()
    except EOFError:
        process.join()
        answer = f"it ended its process without an answer (exit code {process.exitcode})"
    finally:
        process.kill()
        process.join()
        receiver.close()
    if isinstance(answer, BadInput):
        raise answer
    return answer if isinstance(answer, CausalityReport) else _failed(name, str(answer))


def _answer(
    sender: Connection, name: str, settings: dict[str, Any], file: Path, series: tuple[Path | None, dict[str, Any]]
) -> None:
    """In the process of its own: the report, the refusal, or what a person's code raised."""
    answer: object
    candles, options = series
    try:
        with redirect_stdout(sys.stderr):  # what a person's code prints is no part of the result
            strategy = own_strategy(file, name, settings)
            bars = made_up_candles() if candles is None else _file_candles(candles, options)
            answer = check_causality(name, strategy, bars, CausalityPlan())
    except BadInput as error:
        answer = error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - the one edge to code that may raise anything, its exit included
        answer = f"{type(error).__name__}: {error!s:.300}"
    sender.send(answer)


def _failed(name: str, detail: str) -> CausalityReport:
    return CausalityReport(name, 0, 0, 0, 0, 0, False, Fault(FaultKind.FAILED, None, None, detail))


def _file_candles(path: Path, options: Mapping[str, Any]) -> CandleArrays:
    facts = read_file_facts(options)
    series, _ = file_candles([path], facts, None, ImportWatch(lambda _share, _text: None))
    return next(iter(series.values()))


def report_record(report: CausalityReport) -> dict[str, Any]:
    """The report as JSON values; ``bar`` counts from 0 and is None where no single bar is to blame."""
    fault = report.fault
    return {
        "strategy": report.strategy,
        "ok": fault is None,
        "fault": None if fault is None else fault.kind.name.lower(),
        "bar": None if fault is None else fault.bar,
        "at": utc_text(fault.at) if fault is not None and fault.at is not None else None,
        "detail": "" if fault is None else fault.detail,
        "bars": report.bars,
        "lookback_bars": report.lookback_bars,
        "cuts": report.cuts,
        "windows": report.windows,
        "opinions": report.opinions,
        "has_stops": report.has_stops,
        "line": report.line,
    }
