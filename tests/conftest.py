"""Settings every test shares."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
for folder in (ROOT, ROOT / "tests"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest test first: with several workers nobody waits for it alone at the end."""
    items.sort(key=lambda item: item.path.name != "test_main_walk.py")


@pytest.fixture(autouse=True)
def _plain_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """A spawned process runs the main file of its parent again; a page that was tested before leaves its own there."""
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
