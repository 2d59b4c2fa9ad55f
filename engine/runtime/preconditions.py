"""What keeps a stage at real exchanges from starting, all of it at once, asked before anything is started."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from config.settings import Settings
from engine.domain.commands import Role
from engine.domain.errors import BadInput, QuarterdeckError
from engine.domain.people import User
from engine.exchanges.accounts import AccountCheck, check_at
from engine.exchanges.key_advice import advice
from engine.runtime.account_keys import is_usable
from engine.runtime.accounts import Account, Stage, accounts_of_stage, connections_of, lacks_second_factor
from engine.runtime.caretaker import why_not_approved
from engine.runtime.connections import Connections

TIMEOUT_S = 10.0


def missing(settings: Settings, stage: Stage, connections: Connections, people: Sequence[User]) -> tuple[str, ...]:
    """Every reason why a stage cannot begin; () where nothing stands against it.

    Whether its strategies were promoted and the book armed is not among them: that is done while the book runs, which
    opens nothing before.

    Parameters
    ----------
    settings : Settings
    stage : Stage
    connections : Connections
    people : sequence of User
        Who may sign in: real money needs somebody who can arm it.
    """
    found: list[str] = []
    accounts = _accounts(settings, stage, connections, found)
    for account in accounts:
        found += _about_key(stage, account, connections)
    if not stage.sandbox:
        found += _about_people(settings, accounts, people)
    return tuple(dict.fromkeys(found))


def _accounts(settings: Settings, stage: Stage, connections: Connections, found: list[str]) -> tuple[Account, ...]:
    """Those that could be traded; why each of the others, or all of them together, could not is added to ``found``."""
    stored = connections.stored()
    try:
        return accounts_of_stage(settings, stage, stored)
    except BadInput as error:
        together = str(error)
    usable: list[Account] = []
    try:
        named = connections_of(settings, stage)
    except BadInput:
        named = ()
    for name in named:
        alone = settings.stages[stage.name].model_copy(update={"connections": (name,)})
        try:
            usable += accounts_of_stage(settings.model_copy(update={stage.name: alone}), stage, stored)
        except BadInput as error:
            found.append(str(error))
    if not found:
        found.append(together)
    return tuple(usable)


def _about_key(stage: Stage, account: Account, connections: Connections) -> Iterator[str]:
    """What stands against the key: it cannot be opened, the exchange refuses it, or cannot vouch for it."""
    name = account.connection_id
    try:
        opened = connections.open(name)
        check = check_at(opened.row, account.door(opened.credentials, TIMEOUT_S))
        connections.record(name, is_usable(check), check.message)
    except QuarterdeckError as error:
        yield f"{name}: {error}"
        return
    if why := _why_refused(stage, check):
        way_out = f". {advice(account.row, check.message, account.sandbox)}" if check.reachable else ""
        yield f"{name}: {why.rstrip('.')}{way_out}"


def _why_refused(stage: Stage, check: AccountCheck) -> str:
    if not stage.sandbox:
        return why_not_approved(check)
    return "" if check.reachable and check.can_trade is not False else why_not_approved(check)


def _about_people(settings: Settings, accounts: tuple[Account, ...], people: Sequence[User]) -> Iterator[str]:
    able = [one for one in people if not one.disabled and one.role.allows(Role.OPERATOR)]
    if not able:
        yield "nobody can arm it: add an operator with python -m engine users add NAME --role admin"
    if accounts and lacks_second_factor(settings, accounts):
        yield (
            "real money cannot be armed without a second factor, which sign-in does not have yet; the setting "
            "live.without_second_factor allows the password alone"
        )
