"""The gate: the only place that makes an `Approved`, and only of an order no rule objects to."""

from __future__ import annotations

from engine.domain.orders import Approved, OrderIntent, Refused
from engine.risk import EXIT_RULES, REFERENCE_RULES, RULES
from engine.risk.context import Breach, GateContext, Rule, is_exit
from engine.risk.limits import RiskConfig, Sizer

__all__ = ["Breach", "Gate", "GateContext", "Rule"]


_ENTRY_RULES = tuple(RULES.items())
_REFERENCE_ENTRY_RULES = tuple((name, rule) for name, rule in RULES.items() if name in REFERENCE_RULES)
_EXIT_RULES = tuple(EXIT_RULES.items())


class Gate:
    """Judges one order at a time against the limits it was built with; it keeps no state."""

    __slots__ = ("_entry_rules", "config")

    def __init__(self, config: RiskConfig) -> None:
        self.config = config
        self._entry_rules = _REFERENCE_ENTRY_RULES if config.sizer is Sizer.WEIGHTS else _ENTRY_RULES

    def check(self, intent: OrderIntent, context: GateContext) -> Approved | Refused:
        """Pass or refuse one order.

        Parameters
        ----------
        intent : OrderIntent
            Complete and rounded.
        context : GateContext
            What is known at this instant; unknown inputs refuse, except on the way out.

        Returns
        -------
        Approved or Refused
            The refusal names the first rule that objected, what it found and what it allows.
        """
        for name, rule in _EXIT_RULES if is_exit(intent) else self._entry_rules:
            try:
                breach = rule(intent, context, self.config)
            except ArithmeticError as error:  # numbers beyond the arithmetic: as good as unknown
                breach = Breach("not computable", "a number", f"{name} could not be computed ({type(error).__name__})")
            if breach is not None:
                return _refused(intent, context, name, breach)
        return Approved(intent)


def _refused(intent: OrderIntent, context: GateContext, rule: str, breach: Breach) -> Refused:
    return Refused(
        instrument=intent.instrument,
        sleeve=intent.sleeve,
        side=intent.side,
        quantity=intent.quantity,
        rule=rule,
        value=breach.value,
        limit=breach.limit,
        detail=breach.detail,
        at=context.now,
    )
