"""Which exchanges stand in with their candles where a book's own exchange sends none."""

from __future__ import annotations

from config.settings import ConnectedSettings, Settings
from engine.domain.errors import BadInput
from engine.domain.market import Timeframe
from engine.domain.ports import Clock
from engine.exchanges import EXCHANGES
from engine.exchanges.fallback import FallbackSource, SpareExchange
from engine.exchanges.public import PublicSource
from engine.exchanges.quoted import Source
from engine.exchanges.spares import SharedSpares
from engine.runtime.accounts import Account, hosts_of

PATIENCE_S = 10.0
ASK_EVERY_S = 5.0


def with_spares(
    source: PublicSource, account: Account, settings: Settings, first: ConnectedSettings, clock: Clock
) -> Source:
    """A venue's candles, with those of the exchanges that the settings name in their place while it is silent.

    Parameters
    ----------
    source : PublicSource
        The venue's own.
    account : Account
        What it belongs to; its exchange never stands in for itself.
    settings : Settings
        Accounts named there may be spares, too: then their address and sandbox count.
    first : ConnectedSettings
    clock : Clock

    Raises
    ------
    BadInput
        A name is neither an exchange nor an account of the settings.
    """
    spares = [_spare(name, settings, clock) for name in first.spare_exchanges if not _is_own(name, account, settings)]
    if not spares:
        return source
    shared = SharedSpares(spares, clock.now)
    return FallbackSource(source, source.venue, Timeframe.parse(first.timeframe), shared, ASK_EVERY_S)


def _is_own(name: str, account: Account, settings: Settings) -> bool:
    named = settings.venues.get(name)
    if named is None:
        return name == account.exchange and not account.sandbox
    return (named.exchange, named.sandbox, named.rest_url) == (account.exchange, account.sandbox, account.rest_url)


def _spare(name: str, settings: Settings, clock: Clock) -> SpareExchange:
    named = settings.venues.get(name)
    if named is None and name not in EXCHANGES:
        known = ", ".join([*EXCHANGES, *settings.venues])
        why = "which is neither an exchange nor an account"
        raise BadInput(f"spare_exchanges names {name!r}, {why}; choose of {known}")
    if named is None:
        spare = SpareExchange(EXCHANGES[name], clock, PATIENCE_S)
    else:
        row = EXCHANGES[named.exchange]
        spare = SpareExchange(row, clock, PATIENCE_S, named.rest_url or None, named.sandbox)
    spare.heed(hosts_of(settings))
    return spare
