"""The commands of research: backtests, studies, and the check of a strategy."""

from __future__ import annotations

from engine.runtime.cli.options import Commands, Help, Parser, add_command, add_json, add_market, add_whole
from engine.runtime.cli.run_options import (
    add_candles,
    add_conditions,
    add_detail,
    add_facts,
    add_settings,
    add_span,
)
from engine.runtime.run_numbers import DRAWS, EMBARGO_DAYS, FOLDS, SEED, TRIALS, WORKERS

_MODULE = "engine.runtime.cli"


def add_all(commands: Commands) -> None:
    """Declare them."""
    _backtest(commands)
    _sweep(commands)
    _optimise(commands)
    _check_strategy(commands)


def _backtest(commands: Commands) -> None:
    parser = add_command(
        commands,
        "backtest",
        f"{_MODULE}.backtest:backtest",
        Help(
            "would a strategy have worked, after costs, and is it luck",
            "Runs one strategy over candle files and says in one line whether the result can be told from luck, with "
            "figures, 95 % intervals, holding the same instruments, twice the costs and 1,000 random entries. "
            "Signals come from a candle's close and trade at the next open. Both engines give the same trades: kernel "
            "is compiled and fast, replay is the very loop that trades. Costs are the given fee and slippage alone; "
            "`--costs default` adds spread and a volume cap. Without --brake a drawdown of 10 % ends the run; "
            "sma_cross (all in, no stop) runs without a brake.",
            (
                "backtest --strategy momentum --candles spot_binance/BTC_USDT-1h.parquet",
                "backtest --strategy sma_cross --set fast_bars=20 --candles BTC_USDT-1h.parquet \\\n"
                "      --set slow_bars=100 --from 2021-01-01 --cash 10000 --fee-bps 10 --slippage-bps 0 --json",
                "backtest --strategy breakout --candles BTC_USDT-1h.parquet --candles ETH_USDT-1h.parquet \\\n"
                "      --engine replay",
            ),
        ),
    )
    _common(parser, "strategy; sma_cross is the plain reference", "a value of the strategy's configuration")


def _optimise(commands: Commands) -> None:
    parser = add_command(
        commands,
        "optimise",
        f"{_MODULE}.optimise:optimise",
        Help(
            "search a strategy's settings, and say how much of the best is luck",
            "Searches the settings between their bounds by what they earned on folds of days, after costs. The latest "
            "20 % of the days are a holdout that no trial sees. Looking at it is a step of its own, once and for all: "
            "the same command with --study NAME and --holdout-report, which ends the study. Every trial is stored in "
            "the data folder and counts in the verdict. The same command goes on with a study that was interrupted; "
            "more --trials extend it; the same seed gives the same trials.",
            (
                "optimise --strategy momentum --candles spot_binance/BTC_USDT-1h.parquet --trials 100",
                "optimise --strategy breakout --candles BTC_USDT-1h.parquet --set atr_period_bars=14 \\\n"
                "      --range channel_bars=20:200 --trials 200 --folds 5 --seed 7 --study channels --json",
                "optimise --strategy momentum --candles spot_binance/BTC_USDT-1h.parquet --trials 100 \\\n"
                "      --study momentum-1a2b3c4d5e --holdout-report",
            ),
        ),
    )
    _common(parser, "strategy whose settings are searched", "a setting that is fixed and not searched")
    parser.add_argument(
        "--range", action="append", default=[], metavar="KEY=LOW:HIGH", dest="ranges",
        help="search a setting only between these; default: its own bounds",
    )  # fmt: skip
    add_whole(parser, "--trials", TRIALS, "trials in all")
    add_whole(parser, "--folds", FOLDS, "folds that judge")
    _study(parser, "each fold and the holdout")
    parser.add_argument(
        "--holdout-report", action="store_true", help="look at the holdout of --study NAME, once and for all"
    )


def _sweep(commands: Commands) -> None:
    parser = add_command(
        commands,
        "sweep",
        f"{_MODULE}.sweep:sweep",
        Help(
            "run every combination of a grid of settings, and say how much of the best is luck",
            "Runs the strategy once for each combination over the same days, after costs, and tells net return, Sharpe "
            "ratio, drawdown and trades of each, the ground around the best, and a verdict that knows how many were "
            "tried. The latest 20 % of the days are left for a holdout. Every combination is stored in the data folder "
            "as a trial; the same command goes on with a sweep that was interrupted.",
            (
                "sweep --strategy sma_cross --candles spot_binance/BTC_USDT-1h.parquet \\\n"
                "      --grid fast_bars=5:50:5 --grid slow_bars=20:200:10",
                "sweep --strategy breakout --candles BTC_USDT-1h.parquet --set atr_period_bars=14 \\\n"
                "      --grid channel_bars=20,50,100,200 --workers 2 --json",
            ),
        ),
    )
    _common(parser, "strategy whose settings are swept", "a setting that is the same in every combination")
    parser.add_argument(
        "--grid", action="append", required=True, metavar="KEY=LOW:HIGH:STEP",
        help="values of a setting, or KEY=A,B,C; may be given several times",
    )  # fmt: skip
    _study(parser, "the holdout")


def _common(parser: Parser, strategy: str, settings: str) -> None:
    """What a backtest, a study and a sweep share; ``strategy`` and ``settings`` say what these two are for."""
    parser.add_argument("--strategy", required=True, metavar="NAME", help=strategy)
    add_candles(parser)
    add_detail(parser)
    add_settings(parser, f"{settings}; may be given several times")
    add_span(parser, "DATE", "first candle, UTC; those before are history only")
    add_conditions(parser, "plain", "default: latch; sma_cross: off")
    parser.add_argument(
        "--engine", choices=("kernel", "replay"), default="kernel", help="what runs it (default kernel)"
    )
    add_whole(parser, "--seed", SEED, "of what is drawn")
    add_whole(parser, "--draws", DRAWS, "random draws")
    add_facts(parser)


def _study(parser: Parser, before: str) -> None:
    """What a study and a sweep share; days are left out before ``before``."""
    add_whole(parser, "--embargo-days", EMBARGO_DAYS, f"days left out before {before}")
    add_whole(
        parser, "--workers", WORKERS,
        "processes that run it, 1: this one; the setting research.scheduler takes a Dask cluster",
    )  # fmt: skip
    parser.add_argument("--study", metavar="NAME", help="its name; default: made of what is asked for")


def _check_strategy(commands: Commands) -> None:
    parser = add_command(
        commands,
        "check-strategy",
        f"{_MODULE}.check_strategy:check_strategy",
        Help(
            "look for what a strategy knows too early",
            "Cuts the future off at many bars and compares every earlier value, computes the last value from a window "
            "of lookback_bars alone at 3,000 bars in a row and some more, says at how "
            "many bars it looked, and looks for missing numbers, wrong lengths and convictions outside -1 to 1. "
            "Exit code 1 with the bar where one fails. --file RUNS THE CODE OF THAT FILE with your rights: check only "
            "files you trust.",
            (
                "check-strategy momentum",
                "check-strategy breakout --candles spot_binance/BTC_USDT-1h.parquet",
                "check-strategy MyStrategy --file my_strategy.py --set window_bars=50 --json",
            ),
        ),
    )
    parser.add_argument("name", metavar="NAME", help="a strategy of the product, or with --file what is built in it")
    parser.add_argument(
        "--file", metavar="PATH",
        help="Python file that holds NAME: a strategy, or a class or function that makes one; its code is run",
    )  # fmt: skip
    add_settings(parser, "a value of its configuration, or an argument of NAME")
    parser.add_argument(
        "--candles", metavar="FILE", help="candle file to check on (default: made-up candles like the demo market's)"
    )
    add_market(parser)
    add_json(parser)
