"""Serves the console and runs the engine beside it: ``streamlit run app.py``."""

# Before any import that starts threads: numeric libraries must not take the cores the engine's loop runs on.
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import streamlit as st
from starlette.concurrency import run_in_threadpool

from engine.api.app_parts import build, first_start_notice
from engine.domain.errors import QuarterdeckError
from engine.runtime.host import Host

host = Host()


@asynccontextmanager
async def lifespan(_app: st.App) -> AsyncIterator[None]:
    """Start the engine before any browser connects; a start that fails ends the server with its message."""
    try:
        await run_in_threadpool(host.start)
    except QuarterdeckError:
        # The message says what to do; a stack above it would only hide it.
        sys.tracebacklimit = 0
        raise
    try:
        address = f"http://{st.get_option('server.address')}:{st.get_option('server.port')}"
        notice = await run_in_threadpool(first_start_notice, host, address)
        sys.stdout.write(f"\n  Quarterdeck is at {address}\n{notice}")
        sys.stdout.flush()
        yield
    finally:
        await run_in_threadpool(host.stop)


routes, middleware = build(host)
app = st.App("pages/main.py", lifespan=lifespan, routes=routes, middleware=middleware)
