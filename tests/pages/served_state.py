"""The stand-in of the served console: one for the process, writing each submitted command to a file."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from engine.domain.commands import CommandBody, Receipt
from tests.pages.fake_console import FakeConsole


@dataclass
class WritingConsole(FakeConsole):
    """Appends id, command and reason to the file named by ``QUARTERDECK_TEST_COMMANDS``, before it answers."""

    def submit(self, command_id: str, body: CommandBody, reason: str) -> Receipt:
        line = json.dumps([command_id, repr(body), reason])
        with Path(os.environ["QUARTERDECK_TEST_COMMANDS"]).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        return super().submit(command_id, body, reason)


CONSOLE = WritingConsole()
