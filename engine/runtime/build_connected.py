"""Assembles books at real exchanges: testnet at an exchange's sandbox, live with real money."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal

from config.settings import ConnectedSettings, usual
from engine.domain.errors import BadInput, QuarterdeckError
from engine.domain.facts import Notice, Severity
from engine.domain.instruments import Kind
from engine.domain.market import Timeframe
from engine.domain.ports import MarketSource
from engine.exchanges.connected.quotes import QuoteFeed
from engine.exchanges.connected.venue import ConnectedVenue
from engine.exchanges.merged import MergedSource, MergedTops
from engine.exchanges.public import PublicSource
from engine.exchanges.quoted import QuotedSource
from engine.runtime.accounts import STAGES as STAGES
from engine.runtime.accounts import Account, Stage, accounts_of_stage, lacks_second_factor
from engine.runtime.accounts import require_fit as require_fit
from engine.runtime.caretakers import Caretakers
from engine.runtime.connections import Connection, Connections
from engine.runtime.spare_candles import with_spares
from engine.runtime.starting import LONGEST_CATCH_UP, Parts, RunningBook, Venues, new_book, start_book
from engine.runtime.venue_wallets import Opening, VenueWallet, kind_of, open_account
from engine.security.keystore import KeyUnavailable, SecretUnreadable
from engine.trading.book import Book
from engine.trading.config import PATIENT, BookConfig, StopScope
from engine.trading.sending import MarketVenue

NOT_FOUND_WINDOW_S = 10.0
"""An exchange may take seconds to know an order that it has accepted."""
SPREAD_AND_MOVE_BPS = Decimal(15)
"""Beside the fee: half the spread, slippage, and a price that moves while an order is on its way."""
USUAL_FEE_BPS = Decimal(10)
NO_SECOND_FACTOR = (
    "sign-in has no second factor yet, so real money cannot be armed; "
    "the setting live.without_second_factor allows the password alone"
)


def build_stage(parts: Parts, stage: Stage, first: ConnectedSettings) -> RunningBook:
    """A book at one or several real exchanges.

    Raises
    ------
    BadInput
        An account is not one for this stage, its key is refused, or a symbol is not traded at any.
    VenueUnreachable
        An exchange does not answer, and the book has never begun.
    """
    if parts.connections is None:
        raise BadInput(f"{stage.name} needs connected accounts, and none can be opened here")
    accounts = accounts_of_stage(parts.settings, stage, parts.connections.stored())
    opening = Opening(parts, stage, first, parts.journal_of(stage.name).latest_checkpoint() is None)
    wallets = _opened(opening, accounts)
    try:
        return _assembled(opening, share_out(opening, wallets))
    except BaseException:
        for wallet in wallets:
            wallet.line.close()
        raise


def share_out(opening: Opening, wallets: Sequence[VenueWallet]) -> list[VenueWallet]:
    """Give every symbol to every venue that lists it; the venues that got one.

    Of the symbols that come with the product, those that nobody lists are left out: nobody chose them.

    Raises
    ------
    BadInput
        No venue lists a symbol; says what each of them lists instead.
    """
    unlisted: list[str] = []
    for symbol in dict.fromkeys(opening.first.symbols):
        refusals: list[str] = []
        takers = 0
        for wallet in wallets:
            if kind_of(symbol) not in wallet.kinds:
                continue
            try:
                wallet.listed = (*wallet.listed, wallet.read(symbol))
                takers += 1
            except BadInput as error:
                refusals.append(str(error))
        if not takers:
            unlisted.append("; ".join(refusals) or _nobody_trades(opening, symbol))
    _judge_unlisted(opening, unlisted)
    for wallet in wallets:
        if not wallet.listed:
            wallet.line.close()
    return [wallet for wallet in wallets if wallet.listed]


def _judge_unlisted(opening: Opening, why: Sequence[str]) -> None:
    """Refuse symbols that nobody lists, or tell that they are left out, where they are not the trader's choice."""
    stage, chosen = opening.stage.name, opening.first.symbols
    if not why:
        return
    if len(why) == len(set(chosen)) or list(chosen) != usual(f"{stage}.symbols"):
        raise BadInput(f"{'; '.join(why)} (setting {stage}.symbols)")
    title, detail = f"The {stage} book runs without some of its usual symbols", "; ".join(why)
    opening.parts.tell(Notice(f"{stage}-unlisted", Severity.WARNING, title, detail, stage, opening.parts.clock.now()))


def _nobody_trades(opening: Opening, symbol: str) -> str:
    """Why no account has a venue for the kind of a symbol, and the way out."""
    assert opening.parts.connections is not None
    accounts = accounts_of_stage(opening.parts.settings, opening.stage, opening.parts.connections.stored())
    kind = kind_of(symbol)
    apart = [venue.name for each in accounts for venue in each.row.venues if venue.own_keys and kind in venue.kinds]
    if apart:
        return f"{apart[0]} needs keys of its own, which cannot be connected; choose spot symbols"
    names = ", ".join(each.connection_id for each in accounts)
    what = "perpetuals" if kind is Kind.PERPETUAL else "spot"
    return f"{symbol}: no {what} can be traded at {names}; choose other symbols, accounts or account_types"


def _opened(opening: Opening, accounts: Sequence[Account]) -> list[VenueWallet]:
    """The venues of all accounts, asked at the same time; what prevents the start is raised once all have answered.

    A book that has begun does not wait for an account that is new to it and cannot be used: it goes on without it.
    """
    connections = opening.parts.connections
    assert connections is not None
    keys = _keys(opening, connections, accounts)
    with ThreadPoolExecutor(max(1, len(accounts)), thread_name_prefix="opening") as pool:
        answers = [pool.submit(open_account, opening, *each) for each in zip(accounts, keys, strict=True)]
    opened = [wallet for answer in answers if answer.exception() is None for wallet in answer.result()]
    for account, answer in zip(accounts, answers, strict=True):
        error = answer.exception()
        if error is None:
            continue
        if not opened or not _may_be_left_out(opening, account, answer):
            for wallet in opened:
                wallet.line.close()
            raise error
        _tell_left_out(opening, account, str(error))
    return opened


def _keys(opening: Opening, connections: Connections, accounts: Sequence[Account]) -> list[Connection]:
    """The accounts with their keys; raises why they cannot be opened.

    One that the book has traded does not keep it from protecting what it holds at the others: its venues take no key.
    """
    keys: list[Connection] = []
    errors: dict[str, QuarterdeckError] = {}
    for account in accounts:
        try:
            keys.append(connections.open(account.connection_id))
        except (KeyUnavailable, SecretUnreadable) as error:
            errors[account.connection_id] = error
            keys.append(connections.without_keys(account.connection_id))
            if opening.is_new or not _has_traded(opening, account):
                raise
    if errors and len(errors) == len(accounts):
        raise next(iter(errors.values()))
    for name, why in errors.items():
        title = f"The keys of {name} cannot be opened"
        then = "What the book holds there is not managed, no stop reaches it, and nothing is opened anywhere"
        way_out = "Enter the keys again on Exchanges, then start the book again"
        detail, now, book = f"{why}. {then}. {way_out}", opening.parts.clock.now(), opening.stage.name
        opening.parts.tell(Notice(f"{book}-keys-{name}", Severity.CRITICAL, title, detail, book, now))
    return keys


def _has_traded(opening: Opening, account: Account) -> bool:
    return any(opening.file(row, "markets").exists() for row, _ in account.traded)


def _may_be_left_out(opening: Opening, account: Account, answer: Future[list[VenueWallet]]) -> bool:
    return not opening.is_new and not _has_traded(opening, account) and isinstance(answer.exception(), QuarterdeckError)


def _tell_left_out(opening: Opening, account: Account, why: str) -> None:
    title = f"The {opening.stage.name} book runs without {account.connection_id}"
    detail = f"{why}. It is new to the book and is taken in at the next start that finds it in order"
    now, name = opening.parts.clock.now(), opening.stage.name
    opening.parts.tell(Notice(f"{name}-left-out", Severity.CRITICAL, title, detail, name, now))


def _assembled(opening: Opening, wallets: Sequence[VenueWallet]) -> RunningBook:
    parts, first = opening.parts, opening.first
    instruments = [each.instrument for wallet in wallets for each in wallet.listed]
    book = new_book(parts, _config(opening, max(map(_fee, wallets))), instruments)
    venues = [wallet.join(book) for wallet in wallets]
    feeds, candles = [wallet.quotes() for wallet in wallets], [wallet.candles() for wallet in wallets]
    by_name: dict[str, MarketVenue] = {venue.venue: venue for venue in venues}
    usable = _usable(first.capital, parts.settings.base_currency)
    running = start_book(
        parts,
        book,
        _market(parts, wallets, candles, feeds),
        Venues(by_name, usable=usable, moved=_moved(wallets)),
        first,
    )
    for wallet in wallets:
        wallet.note_account()
    for each in candles:
        each.resume_at(_first_close(book, parts.clock.now()))
    running.caretaker = _caretakers(running, wallets, venues, feeds)
    if book.config.needs_arming and lacks_second_factor(parts.settings, [wallet.account for wallet in wallets]):
        book.licence.obstacles["second-factor"] = NO_SECOND_FACTOR
    if running.recovered.differences:
        why = "; ".join(running.recovered.differences)
        book.licence.obstacles["reconciliation"] = f"books and exchange were not found equal: {why}"
    return running


def _moved(wallets: Sequence[VenueWallet]) -> dict[str, str]:
    """The accounts that were traded before at venues whose account is another one now."""
    before = {wallet.row.name: (wallet.account_before(), wallet.account.connection_id) for wallet in wallets}
    return {venue: was for venue, (was, now) in before.items() if was not in ("", now)}


def _market(
    parts: Parts, wallets: Sequence[VenueWallet], candles: Sequence[PublicSource], feeds: Sequence[QuoteFeed]
) -> MarketSource:
    """The candles of every venue, a close of all of them as one event, with their quotes between."""
    named = {
        wallet.row.name: with_spares(source, wallet.account, parts.settings, wallet.opening.first, parts.clock)
        for wallet, source in zip(wallets, candles, strict=True)
    }
    if len(wallets) == 1:
        return QuotedSource(named[wallets[0].row.name], feeds[0])
    return QuotedSource(MergedSource(named, parts.clock), MergedTops(feeds))


def _caretakers(
    running: RunningBook,
    wallets: Sequence[VenueWallet],
    venues: Sequence[ConnectedVenue],
    feeds: Sequence[QuoteFeed],
) -> Caretakers:
    return Caretakers(
        [
            wallet.caretaker(running.loop, wallet.ways(venue, feed))
            for wallet, venue, feed in zip(wallets, venues, feeds, strict=True)
        ]
    )


def _config(opening: Opening, fee_bps: Decimal) -> BookConfig:
    stage, first = opening.stage, opening.first
    return BookConfig(
        name=stage.name,
        stage=stage.name,
        code=stage.code,
        simulated=False,
        base_currency=opening.parts.settings.base_currency,
        bar=Timeframe.parse(first.timeframe),
        reserve_bps=fee_bps + SPREAD_AND_MOVE_BPS,
        taker_bps=fee_bps,
        not_found_window_s=NOT_FOUND_WINDOW_S,
        needs_arming=not stage.sandbox,
        needs_promotion=not stage.sandbox,
        on_trial=True,
        looks=PATIENT,
        stop_scope=StopScope.ENGINE if first.stop_spares_own else StopScope.ACCOUNT,
    )


def _fee(wallet: VenueWallet) -> Decimal:
    """The highest taker fee of what is traded at a venue, in basis points, as the exchange lists it."""
    told = [wallet.markets[each.instrument.symbol].get("taker") for each in wallet.listed]
    return max((Decimal(str(fee)) * 10_000 for fee in told if fee is not None), default=USUAL_FEE_BPS)


def _first_close(book: Book, now: datetime) -> datetime:
    """Where events begin: so that the last close is among them, and those missed since the book's last one."""
    start = now - book.config.bar.delta
    return start if book.bars_at is None else max(min(book.bars_at, start), now - LONGEST_CATCH_UP)


def _usable(capital: Decimal, currency: str) -> Callable[[MarketVenue], Decimal]:
    """What a book may use of a venue at first: its capital, or what is free there if that is less."""

    def usable(venue: MarketVenue) -> Decimal:
        free = sum((each.free for each in venue.balances() if each.currency == currency), Decimal(0))
        if free <= 0:
            raise BadInput(f"no {currency} is free at {venue.venue}; put some into that wallet, or choose another")
        return min(capital, free)

    return usable
