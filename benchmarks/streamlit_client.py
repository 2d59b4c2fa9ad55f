"""A browser without a screen: signs in to the console and asks for pages over its websocket, as the front end does."""

from __future__ import annotations

import http.cookiejar
import re
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass, field

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

TIMEOUT_S = 60.0
MAX_MESSAGE = 64 * 2**20
HOME = "overview"
"""The page without an address of its own."""
_FORM_KEY = re.compile(r'name="form_key" value="([^"]+)"')
_SUCCESS = ForwardMsg.FINISHED_SUCCESSFULLY
_FRAGMENT = ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY


@dataclass(slots=True)
class Rerun:
    """One run of a page: seconds from the request to its end, what was sent, errors shown, fragments it refreshes."""

    seconds: float = 0.0
    messages: int = 0
    bytes: int = 0
    errors: list[str] = field(default_factory=list)
    fragments: list[str] = field(default_factory=list)


class Visitor:
    """One signed-in browser tab.

    Parameters
    ----------
    address : str
        Of the console, such as ``http://127.0.0.1:8501``.
    name, password : str
    """

    def __init__(self, address: str, name: str, password: str) -> None:
        self._address = address
        self._cookies = http.cookiejar.CookieJar()
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._cookies))
        with opener.open(f"{address}/signin", timeout=TIMEOUT_S) as page:
            match = _FORM_KEY.search(page.read().decode())
        if match is None:
            raise RuntimeError("the sign-in page has no form")
        form = {"form_key": match[1], "next": "/", "name": name, "password": password}
        request = urllib.request.Request(
            f"{address}/signin", urllib.parse.urlencode(form).encode(), {"Origin": address}
        )
        with opener.open(request, timeout=TIMEOUT_S) as page:
            if page.url.rstrip("/").endswith("/signin"):
                raise RuntimeError("the console refused the sign-in")
        self._socket = self._connect()
        self._page_hashes: dict[str, str] = {}

    def _connect(self) -> ClientConnection:
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self._cookies)
        return connect(
            self._address.replace("http", "ws", 1) + "/_stcore/stream",
            additional_headers={"Cookie": cookies},
            origin=Origin(self._address),
            subprotocols=[Subprotocol("streamlit")],
            open_timeout=TIMEOUT_S,
            max_size=MAX_MESSAGE,
        )

    def open(self, page: str) -> Rerun:
        """Go to a page, or run it again where it is open."""
        message = BackMsg()
        message.rerun_script.query_string = ""
        message.rerun_script.page_name = "" if page == HOME else page
        if page in self._page_hashes:
            message.rerun_script.page_script_hash = self._page_hashes[page]
        return self._run(message, {_SUCCESS})

    def refresh(self, page: str, fragment: str) -> Rerun:
        """Run one fragment of the open page, as its timer does."""
        message = BackMsg()
        message.rerun_script.page_script_hash = self._page_hashes.get(page, "")
        message.rerun_script.fragment_id = fragment
        message.rerun_script.is_auto_rerun = True
        return self._run(message, {_FRAGMENT})

    def close(self) -> None:
        """Leave."""
        self._socket.close()

    def _run(self, message: BackMsg, ends: set[int]) -> Rerun:
        found = Rerun()
        started = time.perf_counter()
        self._socket.send(message.SerializeToString())
        while True:
            data = self._socket.recv(timeout=TIMEOUT_S)
            assert isinstance(data, bytes)
            answer = ForwardMsg.FromString(data)
            found.messages += 1
            found.bytes += len(data)
            self._read(answer, found)
            if answer.WhichOneof("type") == "script_finished" and answer.script_finished in ends:
                found.seconds = time.perf_counter() - started
                return found

    def _read(self, answer: ForwardMsg, found: Rerun) -> None:
        kind = answer.WhichOneof("type")
        if kind == "delta" and answer.delta.new_element.WhichOneof("type") == "exception":
            found.errors.append(answer.delta.new_element.exception.message)
        elif kind == "delta" and answer.delta.new_element.WhichOneof("type") == "alert":
            found.errors.append(answer.delta.new_element.alert.body)
        elif kind == "auto_rerun":
            found.fragments.append(answer.auto_rerun.fragment_id)
        elif kind == "navigation":
            self._page_hashes |= {page.url_pathname: page.page_script_hash for page in answer.navigation.app_pages}
        elif kind == "page_not_found":
            found.errors.append("page not found")
