"""Our reading of websocket frames against the definitions of the installed Streamlit."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest
import streamlit
from hypothesis import given
from hypothesis import strategies as st
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from engine.api.frames import is_by_person, is_refused, redirect
from engine.api.headers import STREAMLIT_INLINE_SCRIPT


def rerun(auto: bool) -> bytes:
    frame = BackMsg()
    frame.rerun_script.query_string = "a=" + "b" * 300
    frame.rerun_script.page_script_hash = "cafe"
    frame.rerun_script.fragment_id = "tick"
    frame.rerun_script.is_auto_rerun = auto
    return bytes(frame.SerializeToString())


@pytest.mark.parametrize(("auto", "person"), [(True, False), (False, True)])
def test_frame_when_timer_refreshes_then_not_a_person(auto: bool, person: bool) -> None:
    assert is_by_person(rerun(auto)) is person
    assert not is_refused(rerun(auto))


def test_frame_when_heartbeat_then_not_a_person() -> None:
    frame = BackMsg(app_heartbeat=True)
    assert not is_by_person(frame.SerializeToString())


@pytest.mark.parametrize("frame", [BackMsg(clear_cache=True), BackMsg(set_run_on_save=True)])
def test_frame_when_it_would_change_the_server_then_refused(frame: BackMsg) -> None:
    assert is_refused(frame.SerializeToString())


def test_redirect_when_read_by_streamlit_then_leads_there() -> None:
    frame = ForwardMsg()
    frame.ParseFromString(redirect("/signin?ended=1"))
    assert frame.auth_redirect.url == "/signin?ended=1"


@given(st.binary(max_size=200))
def test_frame_when_garbage_then_judged_without_error(data: bytes) -> None:
    is_by_person(data)
    is_refused(data)


def test_inline_script_of_the_installed_streamlit_is_the_one_the_policy_allows() -> None:
    page = (Path(streamlit.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert [f"'sha256-{found}'" for found in hashes] == [STREAMLIT_INLINE_SCRIPT]
