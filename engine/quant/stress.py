"""Dated crashes and what they would do to the positions held now.

Shocks are the largest fall from close to close inside each window, Binance spot against USDT, daily UTC closes. Other
venues differ (2020-03-12 was -39.5 % there, -37.2 % on a composite), and lows inside a day were far deeper than closes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Shock:
    """Fall of one coin as a fraction (negative), with a label where it stands in for a market that did not exist."""

    fall: float
    proxy: str = ""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A dated window and the fall of BTC, ETH and SOL in it. ``caveat`` says what a price shock leaves out."""

    name: str
    title: str
    first_day: date
    last_day: date
    shocks: Mapping[str, Shock]
    caveat: str = ""

    def shock_of(self, base: str) -> Shock:
        """The coin's own fall, or the worst of the three as a labelled proxy.

        >>> SCENARIOS["luna_may_2022"].shock_of("DOGE")
        Shock(fall=-0.51881, proxy='worst of BTC, ETH and SOL: DOGE has no entry of its own')
        """
        own = self.shocks.get(base.upper())
        if own is not None:
            return own
        worst = min(shock.fall for shock in self.shocks.values())
        return Shock(worst, f"worst of BTC, ETH and SOL: {base} has no entry of its own")


@dataclass(frozen=True, slots=True)
class StressResult:
    """What a scenario does: money signed, negative is a loss; ``change`` is P&L over the gross notional.

    ``proxies`` names the coins that were shocked with a stand-in, and why.
    """

    scenario: Scenario
    profit_by_base: Mapping[str, float]
    profit: float
    change: float
    proxies: Mapping[str, str]


def _scenario(name: str, title: str, window: tuple[date, date], falls: tuple[float, float, float]) -> Scenario:
    shocks = {base: Shock(fall) for base, fall in zip(("BTC", "ETH", "SOL"), falls, strict=True)}
    return Scenario(name, title, *window, shocks)


_COVID = Scenario(
    "covid_mar_2020",
    "COVID crash",
    date(2020, 2, 13),
    date(2020, 3, 17),
    {
        "BTC": Shock(-0.535979),
        "ETH": Shock(-0.621883),
        "SOL": Shock(-0.621883, "worst of BTC and ETH: SOL was first traded on 2020-08-11"),
    },
)
_LUNA = Scenario(
    "luna_may_2022",
    "LUNA and UST collapse",
    date(2022, 5, 4),
    date(2022, 5, 14),
    {"BTC": Shock(-0.268588), "ETH": Shock(-0.333404), "SOL": Shock(-0.51881)},
    "A stablecoin lost its peg; what is held in stablecoins is not shocked here.",
)
_FTX = Scenario(
    "ftx_nov_2022",
    "FTX failure",
    date(2022, 11, 5),
    date(2022, 11, 22),
    {"BTC": Shock(-0.259072), "ETH": Shock(-0.322223), "SOL": Shock(-0.679404)},
    "A venue failed; the loss of everything held there is not part of a price shock.",
)

SCENARIOS: Mapping[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        _COVID,
        _scenario(
            "china_may_2021",
            "China ban",
            (date(2021, 5, 10), date(2021, 5, 23)),
            (-0.388473, -0.497684, -0.561677),
        ),
        _LUNA,
        _scenario(
            "celsius_3ac_jun_2022",
            "Celsius and Three Arrows",
            (date(2022, 6, 6), date(2022, 6, 19)),
            (-0.395317, -0.464938, -0.325313),
        ),
        _FTX,
        _scenario(
            "yen_carry_aug_2024",
            "Yen carry unwind",
            (date(2024, 7, 29), date(2024, 8, 6)),
            (-0.19115, -0.270694, -0.289149),
        ),
        _scenario(
            "liquidation_cascade_oct_2025",
            "Liquidation cascade",
            (date(2025, 10, 6), date(2025, 10, 18)),
            (-0.146214, -0.200089, -0.23555),
        ),
        _scenario(
            "bear_2021_2022",
            "Bear market",
            (date(2021, 11, 8), date(2022, 12, 31)),
            (-0.766293, -0.793025, -0.96117),
        ),
    )
}
"""The scenarios by name, oldest first but for the long bear market, which comes last."""


def apply_shocks(notionals: Mapping[str, float], falls: Mapping[str, float]) -> dict[str, float]:
    """Profit or loss by coin when each falls by its share, sizes held constant.

    Parameters
    ----------
    notionals : mapping of str to float
        Signed money by base coin; a short is negative and gains from a fall.
    falls : mapping of str to float
        Signed change of the price as a fraction, for every coin of ``notionals``.

    Returns
    -------
    dict of str to float
        Same money, negative is a loss.

    Raises
    ------
    ValueError
        Names the coins without a shock: a missing one must not count as 0.

    Examples
    --------
    >>> apply_shocks({"BTC": 1000.0, "ETH": -500.0}, {"BTC": -0.5, "ETH": -0.5})
    {'BTC': -500.0, 'ETH': 250.0}
    """
    missing = sorted(set(notionals) - set(falls))
    if missing:
        raise ValueError(f"no shock for {', '.join(missing)}")
    return {base: notional * falls[base] for base, notional in notionals.items()}


def stress(notionals: Mapping[str, float], scenario: Scenario) -> StressResult:
    """Apply one scenario to signed notionals by base coin.

    Parameters
    ----------
    notionals : mapping of str to float
        Signed money by base coin. Leave out what does not move, such as the quote currency.
    scenario : Scenario

    Returns
    -------
    StressResult
        ``change`` is NaN without any position.

    Examples
    --------
    >>> result = stress({"BTC": 10_000.0}, SCENARIOS["covid_mar_2020"])
    >>> round(result.profit, 2), result.proxies
    (-5359.79, {})
    """
    shocks = {base: scenario.shock_of(base) for base in notionals}
    profits = apply_shocks(notionals, {base: shock.fall for base, shock in shocks.items()})
    total, gross = sum(profits.values()), sum(abs(notional) for notional in notionals.values())
    proxies = {base: shock.proxy for base, shock in shocks.items() if shock.proxy}
    return StressResult(scenario, profits, total, total / gross if gross > 0.0 else float("nan"), proxies)


def stress_all(notionals: Mapping[str, float]) -> tuple[StressResult, ...]:
    """Every scenario of `SCENARIOS`, in its order.

    >>> len(stress_all({"SOL": 1.0})) == len(SCENARIOS)
    True
    """
    return tuple(stress(notionals, scenario) for scenario in SCENARIOS.values())
