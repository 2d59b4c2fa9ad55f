"""The line to one exchange: lanes with their own threads and clients, and an honest word on what became of every call.

A question may be given up and asked again. A call that places, changes or cancels an order may not: it ends with proof
that it was accepted or refused, with proof that nothing was sent, or as ambiguous.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as PatienceEnded
from typing import Any, TypeVar

from engine.domain.conditions import VenueCondition
from engine.domain.errors import OrderNotFound, VenueAmbiguous, VenueError, VenueRejected, VenueUnreachable
from engine.domain.market import to_ms
from engine.domain.ports import Clock
from engine.exchanges.client import VenueResting, shut_words
from engine.exchanges.connected.calls import UNREADABLE, ClockRefused, Judge, Wire
from engine.exchanges.connected.lanes import Budget, Lane, share_from
from engine.exchanges.connected.line_setup import LineSetup
from engine.exchanges.connected.market_lists import load_markets
from engine.exchanges.connected.memory import VenueMemory
from engine.exchanges.connected.offset import ClockOffset, OffsetSample
from engine.exchanges.connected.watchman import Watchman

T = TypeVar("T")
EXIT_WAIT_S = 1.0
"""How long an exit waits for a question with a lower nonce. Of the two that question is refused then, with proof."""
_MARKET_FIELDS = (
    "markets", "markets_by_id", "symbols", "ids", "currencies", "currencies_by_id", "codes", "baseCurrencies",
    "quoteCurrencies",
)  # fmt: skip


class _Call:
    """One call on its way: whoever asked may give it up, but not unknowingly."""

    def __init__(self, lane: Lane, weight: int, deadline: float, *, is_order: bool) -> None:
        self.lane, self.weight, self.deadline, self.is_order = lane, weight, deadline, is_order
        self._begun = self._given_up = False
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Just before the first byte; raises where nobody waits any more."""
        with self._lock:
            if self._given_up:
                raise VenueUnreachable("nothing was sent: it had waited too long for its turn")
            self._begun = True

    def give_up(self) -> bool:
        """Stop waiting; True where it had begun, so that its outcome is open."""
        with self._lock:
            self._given_up = True
            return self._begun

    @property
    def is_given_up(self) -> bool:
        """Whether nobody waits for the answer."""
        with self._lock:
            return self._given_up


class Line:
    """Asks one exchange, on behalf of one key.

    Parameters
    ----------
    setup : LineSetup
    clock : Clock
    tell : callable or None
        Gets every change of the venue's condition.
    """

    def __init__(self, setup: LineSetup, clock: Clock, tell: Callable[[VenueCondition], None] | None = None) -> None:
        self._setup = setup
        self._clock = clock
        self.memory = VenueMemory(setup.memory_file)
        self._watchman = Watchman(setup.venue, setup.row.title, self.memory, clock, tell)
        self._budget = Budget(setup.pace, clock.monotonic)
        self._judge = Judge(setup.row, setup.secrets, setup.doubtful_codes, setup.refusals)
        self._offset = ClockOffset()
        self._closed = threading.Event()
        self._local = threading.local()
        self._one_at_a_time = threading.Lock()
        self._markets_from: Any = None
        self._wires: list[Wire] = []
        self._pools = {lane: ThreadPoolExecutor(1, thread_name_prefix=f"{setup.venue}-{lane.value}") for lane in Lane}

    # -- asking ---------------------------------------------------------------------------------------------------

    def ask(self, lane: Lane, question: Callable[[Any], T], weight: int = 1) -> T:
        """Ask something that changes nothing.

        Parameters
        ----------
        lane : Lane
            `Lane.DATA` asks without keys.
        question : callable
            Gets the ccxt client; what it returns is returned.
        weight : int
            What it costs of the exchange's limit.

        Raises
        ------
        VenueUnreachable
            No answer, or one that cannot be read (`VenueThrottled`, `ClockRefused` and `InMaintenance` are kinds).
        KeyRefused
            The key is not accepted.
        OrderNotFound
            The exchange does not know the order, this once.
        """
        return self._carry(_Call(lane, weight, self._deadline(lane), is_order=False), question, None)

    def send(self, lane: Lane, call: Callable[[Any], T], weight: int = 1, late: Callable[[T], None] | None = None) -> T:
        """Place, change or cancel an order.

        Parameters
        ----------
        lane, weight
            As in `ask`.
        call : callable
            Gets the ccxt client and makes exactly one such call.
        late : callable or None
            Gets the answer, on the lane's thread, where it comes after patience had ended.

        Raises
        ------
        VenueRejected
            Proof that it was refused, or that it could not even be expressed.
        VenueUnreachable
            Proof that nothing was sent or accepted.
        VenueAmbiguous
            Sent, and no proof of what became of it.
        OrderNotFound
            The exchange does not know the order that was to be changed.
        """
        if lane is Lane.ENTRY:
            self._require_trusted_clock()
        return self._carry(_Call(lane, weight, self._deadline(lane), is_order=True), call, late)

    def _deadline(self, lane: Lane) -> float:
        return self._clock.monotonic() + self._setup.patience_s[lane]

    def _carry(self, call: _Call, work: Callable[[Any], T], late: Callable[[T], None] | None) -> T:
        self._watchman.pass_or_raise(call.lane)
        title, patience_s = self._setup.row.title, self._setup.patience_s[call.lane]
        try:
            future: Future[T] = self._pools[call.lane].submit(self._work, call, work, late)
        except RuntimeError as error:
            raise VenueUnreachable(f"the line to {title} is closed; nothing was sent") from error
        try:
            return future.result(timeout=patience_s)
        except CancelledError as error:
            raise VenueUnreachable(f"the line to {title} was closed; nothing was sent") from error
        except PatienceEnded:
            begun = call.give_up()
        if not begun:
            raise VenueUnreachable(f"{title} is busy: nothing was sent within {patience_s:g} s")
        if call.is_order:
            raise VenueAmbiguous(f"{title} gave no answer within {patience_s:g} s; it may still come")
        raise VenueUnreachable(f"{title} did not answer within {patience_s:g} s")

    # -- on a lane's thread ---------------------------------------------------------------------------------------

    def _work(self, call: _Call, work: Callable[[Any], T], late: Callable[[T], None] | None) -> T:
        self._wait_for_room(call)
        wire = self._wire(is_public=call.lane is Lane.DATA)
        if self._setup.has_nonce and call.lane is not Lane.DATA:
            has_turn = self._one_at_a_time.acquire(timeout=EXIT_WAIT_S if call.lane is Lane.CLOSE else -1)
            try:
                answer = self._speak(call, work, wire)
            finally:
                if has_turn:
                    self._one_at_a_time.release()
        else:
            answer = self._speak(call, work, wire)
        if late is not None and call.is_given_up:
            late(answer)
        return answer

    def _wait_for_room(self, call: _Call) -> None:
        while (wait_s := self._budget.take(call.lane, call.weight)) > 0:
            if self._clock.monotonic() + wait_s > call.deadline:
                raise VenueResting(
                    f"the request limit of {self._setup.row.title} is used up for {wait_s:.0f} s; nothing was sent",
                    wait_s,
                )
            if self._closed.wait(wait_s):
                raise VenueUnreachable(f"the line to {self._setup.row.title} is closed; nothing was sent")

    def _speak(self, call: _Call, work: Callable[[Any], T], wire: Wire) -> T:
        call.begin()
        wire.reset()
        self._set_time(wire.client)
        started = self._clock.monotonic()
        try:
            answer = work(wire.client)
            error = self._unproven(call, wire)
        except VenueError as known:
            error = self._after_sending(call, known, wire)
        except (self._judge.library_error, OSError, *UNREADABLE) as raised:
            judged = self._judge.of_order if call.is_order else self._judge.of_question
            error = judged(raised, wire)
        latency_s = self._clock.monotonic() - started
        self._learn(wire)
        if error is None:
            if wire.status is not None:
                self._watchman.answered(call.lane, latency_s)
            return answer
        self._watchman.failed(call.lane, error, wire, latency_s)
        if isinstance(error, ClockRefused):
            self._offset.forget()
        raise error from None  # the original holds the signed address

    def _unproven(self, call: _Call, wire: Wire) -> VenueError | None:
        """An answer of ccxt to which no readable answer of the exchange belongs is none."""
        title = self._setup.row.title
        if call.is_order and not wire.wrote:
            return VenueRejected(f"nothing was sent to {title}")
        if wire.status is None or wire.is_json:
            return None
        if call.is_order:
            return VenueAmbiguous(f"{title} answered with something that is no answer; it may have been accepted")
        return VenueUnreachable(f"{title} answered with something that is no answer")

    def _after_sending(self, call: _Call, error: VenueError, wire: Wire) -> VenueError:
        """An answer to an order that could be fetched but not read proves nothing."""
        proven = VenueAmbiguous | VenueRejected | OrderNotFound
        if call.is_order and wire.wrote and not isinstance(error, proven):
            return VenueAmbiguous(str(error))
        return error

    def _learn(self, wire: Wire) -> None:
        if self._setup.hosts is not None and wire.status is not None:
            self._setup.hosts.at(self._setup.row.name, wire.url).hear(wire.status, wire.headers, wire.body)
        share = share_from(self._setup.use_headers, wire.headers, self._setup.pace)
        if share is not None:
            self._budget.told(share)
        best = self._offset.best
        self._watchman.use(share, best.offset_ms if best is not None else None)

    # -- clients --------------------------------------------------------------------------------------------------

    def _wire(self, *, is_public: bool) -> Wire:
        wire: Wire | None = getattr(self._local, "wire", None)
        if wire is None:
            client = self._setup.open_client(not is_public)
            client.enableRateLimit = False  # the lanes pace all clients of the key together
            if self._setup.has_nonce and not is_public:
                client.nonce = self._next_nonce
            wire = self._local.wire = Wire(client, self._require_open)
            self._wires.append(wire)
        self.give_markets(wire.client)
        return wire

    def _require_open(self, url: str) -> None:
        """Ask no host that has shut this address out, whoever was told it; raises `VenueResting`."""
        hosts, row = self._setup.hosts, self._setup.row
        shut = hosts.at(row.name, url).shut() if hosts is not None else None
        if shut is not None:
            raise VenueResting(shut_words(row.title, shut), shut.left_s, is_ban=shut.is_ban)

    def _next_nonce(self) -> int:
        return self.memory.next_nonce(lambda: to_ms(self._clock.now()) + self.offset_ms)

    def load_markets(self, prepare: Callable[[Any], None] | None = None) -> dict[str, Any]:
        """The exchange's list of markets, asked without keys, and shared by all clients from then on.

        Raises
        ------
        VenueUnreachable
            Where it cannot be asked, or its list is empty.
        """

        def question(client: Any) -> dict[str, Any]:
            if prepare is not None:
                prepare(client)
            if markets := load_markets(client, self._setup.symbols):
                self._markets_from = client
                return markets
            raise VenueUnreachable(f"{self._setup.row.title} answered with an empty list of markets")

        most = self._setup.pace.weight // 4  # of a limit by the second, a list must not use up what orders need
        return self.ask(Lane.DATA, question, weight=max(1, min(20, most)))

    def give_markets(self, client: Any) -> None:
        """Let a client know the markets as last loaded, without asking."""
        source = self._markets_from
        if source is not None and client is not source and client.markets is not source.markets:
            for name in _MARKET_FIELDS:
                setattr(client, name, getattr(source, name, None))

    # -- the exchange's clock -------------------------------------------------------------------------------------

    def measure_offset(self) -> int:
        """Ask for the exchange's time; its clock less ours, ms. Raises `VenueUnreachable`."""

        def question(client: Any) -> OffsetSample:
            before_s, before = self._clock.monotonic(), to_ms(self._clock.now())
            server_ms = int(client.fetch_time())
            way_ms = round((self._clock.monotonic() - before_s) * 1000)
            middle = before + way_ms // 2
            return OffsetSample(server_ms - middle, way_ms // 2 + 1, before / 1000, before_s)

        self._offset.add(self.ask(Lane.DATA, question))
        return self.offset_ms

    def clock_has_jumped(self) -> bool:
        """Whether the last measurement is void: our clock was set since, the computer slept, or a time was refused."""
        return self._offset.has_jumped(self._clock.now().timestamp(), self._clock.monotonic())

    @property
    def offset_ms(self) -> int:
        """Their clock less ours, ms; 0 until measured."""
        best = self._offset.best
        return best.offset_ms if best is not None else 0

    def _set_time(self, client: Any) -> None:
        client.options["timeDifference"] = -self.offset_ms

    def _require_trusted_clock(self) -> None:
        half_ms = self._setup.receive_window_ms // 2
        best = self._offset.best
        if best is None:
            raise VenueUnreachable(f"the clock of {self._setup.row.title} was not measured yet; nothing was sent")
        if abs(best.offset_ms) > half_ms:
            raise VenueUnreachable(
                f"this computer's clock is {abs(best.offset_ms) / 1000:.1f} s from the clock of "
                f"{self._setup.row.title}, {half_ms / 1000:.1f} s are allowed; set it right. Nothing was sent"
            )

    # -- state ----------------------------------------------------------------------------------------------------

    @property
    def condition(self) -> VenueCondition:
        """How the venue is to be dealt with now."""
        return self._watchman.condition

    def unlock(self) -> None:
        """Try the key again: it was replaced, or its rights were given back."""
        self._watchman.unlock()

    def close(self) -> None:
        """Take no more calls; those under way end by their own timeouts."""
        self._closed.set()
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
