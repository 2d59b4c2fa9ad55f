"""A stand-in exchange on loopback that real clients trade with: see `client.py` for tests, this for a process by hand.

Usage: ``python -m tests.standin --journal FILE [--port 0] [--seed 1] [--funds USDT=10000,BTC=0.5]``. The first line it
prints is its port. Bybit v5, Binance spot and Binance USD-M answer at ``http://127.0.0.1:PORT`` under their own paths;
``--funds usdm:USDT=5000`` gives a coin to one account only;
control calls are ``POST /standin/NAME`` (see `control.py`), faults ``POST /standin/fault`` (see `faults.py`).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from decimal import Decimal
from pathlib import Path

from aiohttp import web

from .amounts import widen
from .dialects import dialects
from .server import Server
from .world import VENUES, open_world

FUNDS = "USDT=10000"


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="standin", description="A stand-in exchange on loopback")
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--until-eof", action="store_true", help="end when the standard input is closed")
    parser.add_argument("--funds", default=FUNDS, help="coins of each account, such as USDT=10000,BTC=0.5")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(parser.parse_args()))


async def _serve(options: argparse.Namespace) -> None:
    widen()
    world = open_world(options.journal, options.seed, _funds(options.funds))
    runner = web.AppRunner(Server(world, dialects(world)).application(), access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", options.port)
    await site.start()
    assert runner.addresses
    print(runner.addresses[0][1], flush=True)
    if options.until_eof:
        await asyncio.to_thread(sys.stdin.read)
    else:
        await asyncio.Event().wait()


def _funds(raw: str) -> dict[str, dict[str, Decimal]]:
    """Coins by account; a coin without an account's name is in all of them."""
    funds: dict[str, dict[str, Decimal]] = {venue: {} for venue in VENUES}
    for part in filter(None, raw.split(",")):
        name, amount = part.split("=")
        venue, _, coin = name.rpartition(":")
        for each in [venue] if venue else VENUES:
            funds[each][coin] = Decimal(amount)
    return funds


if __name__ == "__main__":
    main()
