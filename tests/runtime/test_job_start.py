"""A job's session gives way to others: told to the kernel, and asked for again where the kernel is busy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.runtime import job_start


def test_lower_session_when_the_kernel_divides_by_session_then_it_is_told_the_niceness(tmp_path: Path) -> None:
    file = tmp_path / "autogroup"
    file.write_bytes(b"")
    assert job_start.lower_session(file)
    assert file.read_bytes() == b"19"


def test_lower_session_when_the_kernel_does_not_then_nothing_is_done(tmp_path: Path) -> None:
    file = tmp_path / "autogroup"
    assert not job_start.lower_session(file)
    assert not file.exists()


@pytest.mark.parametrize(("refusals", "lowered"), [(2, True), (5, False)])
def test_lower_session_when_asked_too_often_then_asked_again_a_few_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusals: int, lowered: bool
) -> None:
    file, left, write = tmp_path / "autogroup", [BlockingIOError()] * refusals, os.write
    file.write_bytes(b"")

    def busy(handle: int, text: bytes) -> int:
        if left:
            raise left.pop()
        return write(handle, text)

    monkeypatch.setattr(job_start, "_AGAIN_S", 0.0)
    monkeypatch.setattr(os, "write", busy)
    assert job_start.lower_session(file) is lowered
    assert file.read_bytes() == (b"19" if lowered else b"")
