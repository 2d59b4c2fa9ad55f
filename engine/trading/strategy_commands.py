"""What commands do to the strategies of a book, its shares and its limits."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal

from engine.domain.commands import Command, ConfigureStrategy, SetAllocation, SetStrategy
from engine.domain.errors import CommandRefused
from engine.domain.facts import BookConfigured, Fact, Notice, Promotion, SleeveConfigured
from engine.domain.instruments import Instrument, InstrumentKey
from engine.risk.allocation import AllocationMethod, fixed_weights
from engine.risk.limits import Sizer, read_config
from engine.strategies import TRADED, why_not_traded
from engine.trading.core import TradingCore
from engine.trading.decisions import Decider
from engine.trading.graduation import Candidate, begin_trial, promotion
from engine.trading.sleeves import Sleeve, build_strategy, sleeve_from


class StrategyCommands:
    """One command on its way through a book: what it decides, and the facts it leaves.

    Parameters
    ----------
    core : TradingCore
    command : Command
    at : datetime
        Market time of the book.
    candidate : Candidate or None
        Of a promotion: the strategy as it stands in the book it comes from.
    """

    def __init__(self, core: TradingCore, command: Command, at: datetime, candidate: Candidate | None = None) -> None:
        self._core, self._command, self._at, self._candidate = core, command, at, candidate
        self._book = core.book
        self.decider = Decider(core.book, at)
        self.facts: list[Fact] = []
        self.notices: list[Notice] = []

    def _fold(self, fact: Fact) -> None:
        self._core.apply(fact)
        self.facts.append(fact)

    def _instrument(self, key: InstrumentKey) -> Instrument:
        instrument = self._book.ledger.instruments.get(key)
        if instrument is None:
            raise CommandRefused(f"{key} is not an instrument of the book {self._book.config.name}")
        return instrument

    def _sleeve(self, name: str) -> Sleeve:
        sleeve = self._book.sleeves.get(name)
        if sleeve is None:
            raise CommandRefused(why_not_traded(name) or f"no strategy {name!r} in {self._book.config.name}")
        return sleeve

    def _sleeve_or_new(self, name: str) -> Sleeve:
        """A strategy's place in the book; a new one, paused and without capital, where it had none.

        A book into which strategies are promoted gets none in any other way.
        """
        if name in self._book.sleeves or name not in TRADED or self._book.config.needs_promotion:
            return self._sleeve(name)
        keys = tuple(sorted(self._book.ledger.instruments))
        return sleeve_from(SleeveConfigured(name, False, "{}", keys, Decimal(0), self._at))

    def _set_strategy(self, body: SetStrategy) -> str:
        sleeve = self._sleeve_or_new(body.strategy)
        if body.running:
            self._require_promoted(sleeve.name)
        sleeve.running = body.running
        if body.running:
            sleeve.quarantined, sleeve.errors = "", 0
        else:
            self.decider.pause(sleeve.name)
        self._record(sleeve)
        return f"{body.strategy} is {'running' if body.running else 'paused; its positions keep their stops'}"

    def _configure_strategy(self, body: ConfigureStrategy) -> str:
        sleeve = self._sleeve_or_new(body.strategy)
        strategy, values = build_strategy(body.strategy, body.values)
        if self._book.config.needs_promotion and values != sleeve.values:
            raise CommandRefused(
                f"{sleeve.name} runs in {self._book.config.name} with the settings it was promoted with; "
                "try others in the book before, and promote it again"
            )
        for key in body.instruments or ():
            self._instrument(key)
        sleeve.strategy, sleeve.values = strategy, values
        if body.instruments is not None:
            sleeve.instruments = tuple(sorted(body.instruments))
        self._record(sleeve)
        return f"{body.strategy} configured"

    def _require_promoted(self, name: str) -> None:
        if self._book.config.needs_promotion and name not in self._book.licence.promotions:
            raise CommandRefused(f"{name} was not promoted into {self._book.config.name}; promote it first")

    def _promote(self) -> str:
        candidate = self._candidate
        if candidate is None:
            raise CommandRefused("the book it comes from does not run; start it, so that its evidence can be read")
        fact, configured = promotion(self._book, candidate, self._command.actor.name, self._at)
        self._fold(fact)
        self._fold(configured)
        share = "" if configured.weight else "; give it a share of the capital, it has none yet"
        return f"{candidate.strategy} of {candidate.book} runs in {self._book.config.name} now{share}"

    def _demote(self, name: str) -> str:
        sleeve = self._sleeve(name)
        known = self._book.licence.promotions.get(name)
        if known is None:
            raise CommandRefused(f"{name} was not promoted into {self._book.config.name}; pause it instead")
        gone = Promotion(name, False, known.from_book, sleeve.values, None, self._command.actor.name, self._at)
        self._fold(gone)
        sleeve.running = False
        self.decider.pause(name)
        self._record(sleeve)
        return f"{name} is demoted and paused; its positions keep their stops"

    def _set_allocation(self, body: SetAllocation) -> str:
        try:
            method = AllocationMethod(body.method)
        except ValueError:
            raise CommandRefused(f"allocation {body.method!r} is neither fixed nor performance") from None
        weights = dict(body.weights)
        if len(weights) != len(body.weights):
            raise CommandRefused("a strategy is named twice; give each one weight")
        fixed_weights({name: s.weight for name, s in self._book.sleeves.items()} | weights)
        sleeves = [self._sleeve_or_new(name) for name in weights]
        for sleeve in sleeves:
            sleeve.weight = weights[sleeve.name]
            self._record(sleeve)
        self._book.allocation = method
        self._record_book()
        return "allocation set"

    def _configure_risk(self, values: str) -> str:
        config = read_config(values)
        if config.sizer is Sizer.WEIGHTS:
            raise CommandRefused("sizer weights has no risk limits and is for replays only")
        self._book.set_risk(config)
        self._record_book()
        return "limits set"

    def _record(self, sleeve: Sleeve) -> None:
        self._book.sleeves.setdefault(sleeve.name, sleeve)
        fact = sleeve.fact(self._at)
        begin_trial(self._book, fact, sleeve.values)
        self.facts.append(fact)

    def _record_book(self) -> None:
        risk = json.dumps(self._book.risk.model_dump(mode="json"), sort_keys=True)
        self.facts.append(BookConfigured(risk, self._book.allocation.value, self._at))
