"""One line on a backtest: whether it can be told from luck, and why.

Nothing here computes a statistic; it weighs those that were measured against thresholds that are written down, and says
so when a statistic that matters was not measured. It never says "profitable".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """What may be said."""

    TOO_FEW_TRADES = "too few trades to say"
    LOSES = "loses money after costs"
    NOT_DISTINGUISHABLE = "not distinguishable from luck"
    FRAGILE = "does not survive twice the costs"
    NO_BETTER = "no better than holding"
    INCOMPLETE = "not enough was measured to say"
    DISTINGUISHABLE = "distinguishable from luck"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What evidence must reach.

    Attributes
    ----------
    fewest_trades : int
        30: below it even a win rate of 70 % is compatible with 50 %. Graduation asks for 200.
    deflated_sharpe : float
        0.95 (Bailey and Lopez de Prado 2014).
    null_percentile : float
        0.95 of the random entries; the lower end of the percentile's own interval must lie above, or the seed decides.
    overfitting : float
        0.10 at most; worthless trials give about 0.5.
    """

    fewest_trades: int = 30
    deflated_sharpe: float = 0.95
    null_percentile: float = 0.95
    overfitting: float = 0.10


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was measured on one backtest; None or NaN where it was not, or is undefined.

    Attributes
    ----------
    trades, days, trials : int
        Closed trades; returns by day; settings that were looked at, this one and abandoned ones included.
    net_return, net_return_double_cost : float, optional
        Of the whole run as a fraction, after costs and after twice the costs.
    deflated_sharpe : float, optional
        Probability, with the real number of trials.
    null_percentile, null_low : float, optional
        Among random entries, 0 to 1; and the lower end of its 95 % interval, for the draws are finite.
    overfitting : float, optional
        Probability by CSCV; needed only after more than one trial.
    minimum_track_record_days : float, optional
        NaN when no record would be long enough.
    other_trials : int
        How many of the trials belong to other runs of the strategy.
    sharpe_low, sharpe_high : float, optional
        Ends of the 95 % interval of the annualised Sharpe ratio.
    sharpe, hold_net_return, hold_sharpe : float, optional
        Annualised Sharpe ratio; and the same figures of buying the same instruments at the start and holding.
    study : str
        Name of the study whose trial these settings are, and whose trials and overfitting are taken; "" for none.
    trials_unknown : str
        Why the trials of other runs are not known; "" where they are.
    double_cost_unknown : str
        Why nothing is known at twice the costs.
    seen_days, seen_of : int
        Of a holdout: days that an earlier backtest showed, of how many.
    """

    trades: int
    days: int
    trials: int
    net_return: float | None = None
    net_return_double_cost: float | None = None
    deflated_sharpe: float | None = None
    null_percentile: float | None = None
    null_low: float | None = None
    overfitting: float | None = None
    minimum_track_record_days: float | None = None
    sharpe_low: float | None = None
    sharpe_high: float | None = None
    sharpe: float | None = None
    hold_net_return: float | None = None
    hold_sharpe: float | None = None
    study: str = ""
    other_trials: int = 0
    trials_unknown: str = ""
    double_cost_unknown: str = ""
    seen_days: int = 0
    seen_of: int = 0

    def __post_init__(self) -> None:
        """Refuse counts that cannot be, and shares outside 0 to 1, with a ValueError."""
        if self.trades < 0 or self.days < 0 or self.trials < 1:
            raise ValueError(f"{self.trades} trades, {self.days} days and {self.trials} trials cannot be")
        if not (0 <= self.other_trials < self.trials and 0 <= self.seen_days <= self.seen_of):
            raise ValueError(f"{self.other_trials} of {self.trials} trials in other runs and {self.seen_days} of "
                             f"{self.seen_of} days seen cannot be")  # fmt: skip
        for name in ("deflated_sharpe", "null_percentile", "null_low", "overfitting"):
            share: float | None = getattr(self, name)
            if share is not None and not math.isnan(share) and not 0.0 <= share <= 1.0:
                raise ValueError(f"{name} is {share}; a probability lies between 0 and 1")
        for name in ("net_return", "net_return_double_cost", "minimum_track_record_days"):
            value: float | None = getattr(self, name)
            if value is not None and math.isinf(value):
                raise ValueError(f"{name} is infinite; give NaN where it is undefined")


@dataclass(frozen=True, slots=True)
class Verdict:
    """A level and the reasons for it, each a short sentence without its full stop.

    ``passed`` are the tests that the run did pass, where that was not enough; the reasons never repeat them.
    """

    level: Level
    reasons: tuple[str, ...]
    passed: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """The verdict in one line.

        >>> Verdict(Level.TOO_FEW_TRADES, ("3 trades; 30 are needed",)).line
        'Too few trades to say: 3 trades; 30 are needed.'
        """
        text = self.level.value
        return f"{text[0].upper()}{text[1:]}: {'; '.join(self.reasons)}."


@dataclass(frozen=True, slots=True)
class _Check:
    """One comparison: whether it was passed (None: not measured), and what to say in each case."""

    passed: bool | None
    good: str
    bad: str
    missing: str


def _unknown(value: float | None) -> bool:
    return value is None or math.isnan(value)


_MOST_DIGITS = 9


def _apart(value: float, limit: float, digits: int, sign: str = "") -> str:
    """A figure with as many digits as tell it from its limit; ``digits`` where these do, or where both are equal.

    >>> _apart(0.9496, 0.95, 2), _apart(0.9496, 0.5, 2)
    ('0.9496', '0.95')
    """
    for shown in range(digits, _MOST_DIGITS):
        text = f"{value:{sign}.{shown}f}"
        if value == limit or float(text) != float(f"{limit:.{shown}f}"):
            return text
    return f"{value:{sign}.{digits}f}"


def _gain(share: float) -> str:
    """A return in percent, with the digits that tell it from none."""
    return f"{_apart(100.0 * share, 0.0, 1, '+')} %"


def _of_study(evidence: Evidence) -> str:
    return f", as in study {evidence.study}" if evidence.study else ""


def _deflated(evidence: Evidence, limits: Thresholds) -> _Check:
    value = evidence.deflated_sharpe
    runs = f"{evidence.trials:,} trial" + ("s" if evidence.trials > 1 else "")
    if evidence.other_trials:
        runs += f" ({evidence.other_trials:,} of them in other runs)"
    shown = "" if value is None else _apart(value, limits.deflated_sharpe, 2)
    told = f"deflated Sharpe probability {shown} after {runs}{_of_study(evidence)}"
    passed = None if value is None or math.isnan(value) else value >= limits.deflated_sharpe
    need = f"{told}, {limits.deflated_sharpe:.2f} is needed"
    return _Check(passed, told, need, "the deflated Sharpe ratio is not known")


def _random_entries(evidence: Evidence, limits: Thresholds) -> _Check:
    value, low = evidence.null_percentile, evidence.null_low
    missing = "the comparison with random entries is not known"
    if value is None or low is None or math.isnan(value) or math.isnan(low):
        return _Check(None, "", "", missing)
    least = _apart(100.0 * low, 100.0 * limits.null_percentile, 1)
    told = f"better than {100.0 * value:.1f} % of random entries (at least {least} % with 95 % confidence)"
    need = f"{told}, more than {100.0 * limits.null_percentile:.0f} % with that confidence is needed"
    return _Check(low > limits.null_percentile, told, need, missing)


def _overfitting(evidence: Evidence, limits: Thresholds) -> _Check:
    value = evidence.overfitting
    if _unknown(value) and evidence.trials == 1:
        return _Check(True, "" if evidence.trials_unknown else "one trial, so nothing was selected", "", "")
    shown = "" if value is None else _apart(value, limits.overfitting, 2)
    told = f"probability of overfitting {shown}{_of_study(evidence)}"
    passed = None if value is None or math.isnan(value) else value <= limits.overfitting
    need = f"{told}, at most {limits.overfitting:.2f} is allowed"
    runs = f"{evidence.trials:,} trial" + ("s" if evidence.trials > 1 else "")
    missing = f"the probability of overfitting of {runs} is not known, which one study of them measures"
    return _Check(passed, told, need, missing)


def _other_trials(evidence: Evidence) -> _Check:
    if not evidence.trials_unknown:
        return _Check(True, "", "", "")
    return _Check(None, "", "", f"the trials of other runs are not known: {evidence.trials_unknown}")


def _unseen(evidence: Evidence) -> _Check:
    if not evidence.seen_days:
        return _Check(True, "", "", "")
    seen = f"seen before: {evidence.seen_days:,} of {evidence.seen_of:,} days, by earlier backtests"
    return _Check(None, "", "", seen)


def _track_record(evidence: Evidence) -> _Check:
    value = evidence.minimum_track_record_days
    missing = "the minimum track record is not known"
    if value is None:
        return _Check(None, "", "", missing)
    if math.isnan(value):
        return _Check(False, "", "the Sharpe ratio is not above 0 or undefined, so no record is long enough", missing)
    told = f"{evidence.days:,} days where {math.ceil(value):,} are needed"
    return _Check(evidence.days >= value, told, f"only {told}", missing)


def _own_interval(evidence: Evidence) -> _Check:
    low, high = evidence.sharpe_low, evidence.sharpe_high
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return _Check(None, "", "", "the interval of the Sharpe ratio is not known")
    ends = f"{_apart(low, 0.0, 2)} to {_apart(high, 0.0, 2)}"
    none = f"its own interval includes no gain (Sharpe {ends})"
    return _Check(low > 0.0, f"Sharpe {ends} with 95 % confidence", none, "")


def _against_holding(evidence: Evidence) -> str:
    """The figures where holding did as well by return and by Sharpe ratio; "" where not, or where it is not known."""
    net, held = evidence.net_return, evidence.hold_net_return
    if net is None or held is None or math.isnan(net) or not net <= held:
        return ""
    said = f"{_gain(net)} against {_apart(100.0 * held, 100.0 * net, 1, '+')} %"
    sharpe, hold = evidence.sharpe, evidence.hold_sharpe
    if sharpe is None or hold is None or math.isnan(sharpe) or math.isnan(hold):
        return said
    if sharpe > hold:
        return ""
    return f"{said}, Sharpe {_apart(sharpe, hold, 2)} against {_apart(hold, sharpe, 2)}"


def _double_cost(evidence: Evidence) -> _Check:
    value = evidence.net_return_double_cost
    told = "" if value is None else f"{_gain(value)} at twice the costs"
    passed = None if value is None or math.isnan(value) else value > 0.0
    missing = "the result at twice the costs is not known"
    if evidence.double_cost_unknown:
        missing += f": {evidence.double_cost_unknown}"
    return _Check(passed, told, told, missing)


def judge(evidence: Evidence, limits: Thresholds | None = None) -> Verdict:
    """Weigh the evidence; the first of these that holds decides.

    1. fewer trades than ``fewest_trades``: too few to say.
    2. a net return of 0 or less: loses.
    3. any of deflated Sharpe, random entries, overfitting, track record misses its threshold, or the 95 % interval of
       the Sharpe ratio includes 0: not distinguishable.
    4. nothing left at twice the costs: fragile.
    5. neither net return nor Sharpe ratio above those of holding: no better than holding. A reason of 3 and 4 as well.
    6. something that matters was not measured, the trials of other runs are not known, or days of a holdout were seen
       before: incomplete.
    7. otherwise: distinguishable from luck, which is not a promise of profit.

    Parameters
    ----------
    evidence : Evidence
    limits : Thresholds, optional

    Returns
    -------
    Verdict
        With every reason for its level, not only the first, and apart from them the tests of 3 and 4 that were passed.

    Examples
    --------
    >>> judge(Evidence(trades=80, days=700, trials=40, net_return=0.3, deflated_sharpe=0.6)).line
    'Not distinguishable from luck: deflated Sharpe probability 0.60 after 40 trials, 0.95 is needed.'
    """
    limits = limits or Thresholds()
    if evidence.trades < limits.fewest_trades:
        counted = "1 trade" if evidence.trades == 1 else f"{evidence.trades} trades"
        return Verdict(Level.TOO_FEW_TRADES, (f"{counted}; at least {limits.fewest_trades} are needed",))
    net = evidence.net_return
    if net is not None and net <= 0.0:
        return Verdict(Level.LOSES, (f"{_gain(net)} net over {evidence.trades} trades",))
    statistics = (_deflated(evidence, limits), _random_entries(evidence, limits), _overfitting(evidence, limits))
    own = (_track_record(evidence), _own_interval(evidence), _other_trials(evidence), _unseen(evidence))
    return _weighed((*statistics, *own), evidence)


def _weighed(statistics: tuple[_Check, ...], evidence: Evidence) -> Verdict:
    failed = tuple(check.bad for check in statistics if check.passed is False)
    costs, said = _double_cost(evidence), _against_holding(evidence)
    held = (f"{Level.NO_BETTER.value} ({said})",) if said else ()
    everything = (*statistics, costs)
    good = tuple(check.good for check in everything if check.passed and check.good)
    if failed:
        return Verdict(Level.NOT_DISTINGUISHABLE, (*failed, *held), good)
    if costs.passed is False:
        return Verdict(Level.FRAGILE, (costs.bad, *held), good)
    if held:
        return Verdict(Level.NO_BETTER, (said,), good)
    missing = tuple(check.missing for check in everything if check.passed is None)
    if _unknown(evidence.net_return):
        missing = ("the net return is not known", *missing)
    if missing:
        return Verdict(Level.INCOMPLETE, missing, good)
    return Verdict(Level.DISTINGUISHABLE, good)
