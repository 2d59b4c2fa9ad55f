"""The project as a whole: layers, documentation, requirements, and what must not stand in any file."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from ast import literal_eval
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from config.settings import load
from engine.monitoring.config import HealthConfig
from engine.monitoring.probes import PROBES
from engine.runtime.cli.arguments import build_parser
from engine.runtime.engine import VERSION

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = ("app.py", "engine", "config", "pages")
LONGEST_FILE = 350
LONGEST_FUNCTION = 45
# What may be longer, and how long at most: declarations, and the one decision path, that read better in one piece.
LONG_FILES = {
    "engine/trading/core.py": 450,
    "engine/trading/decisions.py": 500,
}
LONG_FUNCTIONS: set[str] = set()
# Listed for what is built on them next, or used by a name that is only known at run time.
NOT_IMPORTED = {"apprise", "pandas", "python-dateutil", "scikit-learn", "streamlit-authenticator", "tzdata", "xgboost"}
DEV_TOOLS = {
    "aiosmtpd",
    "httpx",
    "import-linter",
    "mypy",
    "pandas-stubs",
    "pip-audit",
    "pytest-timeout",
    "pytest-xdist",
}
PACKAGE_OF = {"sklearn": "scikit-learn", "dateutil": "python-dateutil"}
TEXTS = (
    ".py",
    ".md",
    ".toml",
    ".txt",
    ".lock",
    ".css",
    ".csv",
    "Makefile",
    "run",
    "find-python",
    "audit",
    ".gitignore",
)


def files(*places: str, ending: str = ".py") -> Iterator[Path]:
    """Files of the project below some places."""
    for place in places:
        path = ROOT / place
        found = sorted(path.rglob(f"*{ending}")) if path.is_dir() else [path]
        yield from (file for file in found if "__pycache__" not in file.parts)


@cache
def project() -> dict[str, object]:
    """``pyproject.toml``."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def text(name: str) -> str:
    """A file of the project."""
    return (ROOT / name).read_text(encoding="utf-8")


def pins(name: str) -> dict[str, str]:
    """Package to pin of a requirement file, without those it includes."""
    rows = (line.split(";")[0].strip() for line in text(name).splitlines() if "==" in line and line[0] != "#")
    return {re.sub(r"[-_.]+", "-", row.split("==")[0]).lower(): row.split("==")[1] for row in rows}


def imported(*places: str) -> set[str]:
    """Packages that are imported and neither ours nor Python's; those loaded by name included."""
    ours = {path.stem for path in (ROOT / "tests").rglob("*.py")} | {*PRODUCT, "tests", "benchmarks", "app"}
    found: set[str] = set()
    for file in files(*places):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module)
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "importorskip")):
                found |= {arg.value for arg in node.args if isinstance(arg, ast.Constant)}
    names = {name.split(".")[0] for name in found} - ours - set(sys.stdlib_module_names)
    return {re.sub(r"[-_.]+", "-", PACKAGE_OF.get(name, name)) for name in names}


# -- layers ----------------------------------------------------------------------------------------------------------


def packages() -> set[str]:
    """Packages of the engine."""
    return {f"engine.{path.parent.name}" for path in (ROOT / "engine").glob("*/__init__.py")}


def contract(beginning: str) -> dict[str, list[str]]:
    """The import contract whose name begins so."""
    rows = project()["tool"]["importlinter"]["contracts"]  # type: ignore[index]
    return next(row for row in rows if row["name"].startswith(beginning))


def test_imports_when_linted_then_every_contract_is_kept() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout[-2000:]


def test_contracts_when_a_package_is_new_then_each_of_them_names_it() -> None:
    layers = {f"engine.{name}" for row in contract("Layers")["layers"] for name in re.findall(r"\w+", row)}
    assert layers == packages()
    assert set(contract("Settings are read")["source_modules"]) == packages() - {"engine.runtime"}
    hidden = set(contract("Pages see")["forbidden_modules"]) - {"config"}
    assert hidden == packages() - {"engine.runtime", "engine.domain"}


def test_settings_when_outside_the_engine_then_only_the_command_line_of_the_host_reads_them() -> None:
    readers = [
        file for file in files("app.py", "pages") if "config" in file.read_text() and "from config" in file.read_text()
    ]
    assert readers == []


# -- size ------------------------------------------------------------------------------------------------------------


def test_files_when_long_then_they_are_listed_with_a_reason() -> None:
    rows = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in files(*PRODUCT)}
    assert {name: n for name, n in rows.items() if n > LONG_FILES.get(name, LONGEST_FILE)} == {}


def test_functions_when_measured_then_none_is_too_long() -> None:
    found = []
    for file in files(*PRODUCT):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                words = ast.get_docstring(node, clean=False)
                lines = (node.end_lineno or 0) - node.lineno + 1 - (words.count("\n") + 1 if words else 0)
                found += [f"{file.relative_to(ROOT)}: {node.name}"] if lines > LONGEST_FUNCTION else []
    assert set(found) - LONG_FUNCTIONS == set()


# -- time ------------------------------------------------------------------------------------------------------------

CLOCK_READS = {"now", "utcnow", "today", "time", "time_ns", "monotonic", "monotonic_ns"}
# Who may ask the computer itself what time it is, and why: everything else is given a clock.
MAY_READ_THE_CLOCK = {
    "engine/runtime/clock.py": "it is the clock",
    "engine/simulation/pacing.py": "waits in wall time between simulated candles; a port with a stand-in",
    "engine/runtime/engine.py": "the heartbeat must beat whatever the clock of the market does",
    "engine/runtime/book_thread.py": "the same of each book",
    "engine/runtime/lifeline.py": "the same, and every look at the book's clock counts as a beat",
    "engine/runtime/jobs.py": "how long a caller waits for another process",
    "engine/runtime/cli/asking.py": "how long a command waits for another process",
    "engine/runtime/cli/progress.py": "how often a terminal is told",
    "engine/runtime/cli/status.py": "how long a command waits for another process",
    "engine/runtime/cli/trading.py": "how long a command waits for another process",
    "engine/storage/lock.py": "tells who holds a folder before anything is built that has a clock",
    "engine/storage/lease.py": "dates the note a restore leaves, while no engine runs",
    "engine/storage/migrate.py": "names what is set aside before anything is built that has a clock",
    "engine/storage/backup.py": "names archives by when they were made",
    "engine/storage/restore.py": "names what is set aside, while no engine runs",
    "engine/storage/candle_import.py": "age of a folder by the file system, which dates by this clock",
    "pages/format.py": "ages are counted to the moment a page is drawn",
    "pages/confirm.py": "how long a page has shown a receipt",
    "pages/actions.py": "how long a page holds a button that was pressed",
}


def clock_reads(file: Path) -> list[str]:
    """Every place that asks the computer for the time; measured durations (``perf_counter``) are none."""
    calls = [node.func for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    named = [call for call in calls if isinstance(call, ast.Attribute) and call.attr in CLOCK_READS]
    return [ast.unparse(call) for call in named if ast.unparse(call.value) in ("time", "datetime", "date")]


def test_time_when_read_then_it_comes_from_a_clock_that_was_given() -> None:
    readers = {str(file.relative_to(ROOT)) for file in files(*PRODUCT) if clock_reads(file)}
    assert readers == set(MAY_READ_THE_CLOCK)


# -- what must not stand anywhere ------------------------------------------------------------------------------------

FORBIDDEN = {
    "a path of one machine": r"(?<![\w.])/(?:work|root|home)/\w|/tmp/\w|[A-Z]:\\Users",
    "a package registry": r"\bpy" + r"pi\.|pythonhosted|--(?:extra-)?index-url",
    "unfinished work": r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b",
    "a breakpoint": r"\bbreakpoint\(\)|\bpdb\b",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_files_when_searched_then_nothing_forbidden_stands_in_them(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])
    places = [*PRODUCT, "tests", "docs", "benchmarks", ".ci", ".streamlit"]
    tops = [path.name for path in ROOT.iterdir() if path.is_file() and path.name.endswith(TEXTS)]
    found = []
    for place in [*places, *tops]:
        for file in files(place, ending=""):
            if file.is_file() and file.name.endswith(TEXTS) and file != Path(__file__):
                lines = enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
                found += [
                    f"{file.relative_to(ROOT)}:{number}: {line}" for number, line in lines if pattern.search(line)
                ]
    assert found == []


def test_data_folder_when_written_to_then_git_ignores_it() -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    asked = [
        "data/money.sqlite",
        "data/keys/journal.key",
        ".venv/bin/python",
        "engine/quant/__pycache__/x.nbi",
        "data/README.md",
    ]
    done = subprocess.run(["git", "check-ignore", *asked], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.stdout.split() == asked[:-1]


# -- requirements ----------------------------------------------------------------------------------------------------


def test_requirements_when_locked_then_every_pin_is_the_same() -> None:
    run, dev = pins("requirements.lock"), pins("requirements-dev.lock")
    assert {name: run.get(name) for name in pins("requirements.txt")} == pins("requirements.txt")
    assert {name: (run | dev).get(name) for name in pins("requirements-dev.txt")} == pins("requirements-dev.txt")
    assert set(run) & set(dev) == set()
    assert "-r requirements.lock" in text("requirements-dev.lock")


def test_requirements_when_installed_then_this_is_what_runs() -> None:
    from importlib.metadata import version

    for name, pin in pins("requirements.txt").items():
        if name != "tzdata":
            assert version(name) == pin, name


def test_requirements_when_compared_with_imports_then_nothing_is_missing_or_left_over() -> None:
    listed = set(pins("requirements.txt"))
    used = imported(*PRODUCT)
    assert used - listed == set()
    assert listed - used - NOT_IMPORTED == set()
    tested = imported("tests")  # benchmarks run their peers in environments of their own
    assert tested - listed - set(pins("requirements-dev.txt")) == set()
    assert set(pins("requirements-dev.txt")) - tested - DEV_TOOLS - {"ruff"} == set()


def test_requirements_when_read_then_what_the_product_is_built_on_is_there() -> None:
    built_on = (
        "streamlit", "plotly", "ccxt", "pandas", "scikit-learn", "xgboost", "sqlmodel", "cryptography", "psutil",
        "streamlit-authenticator",
    )  # fmt: skip
    assert set(built_on) <= set(pins("requirements.txt"))
    assert pins("requirements.txt")["python-dateutil"] == "2.9.0.post0"


# -- documentation ---------------------------------------------------------------------------------------------------


def setting_rows() -> Iterator[str]:
    """The line that docs/settings.md must have for every setting."""
    for name, value, _, description in load({}).rows():
        if ".strategy_settings." not in name:
            shown = ", ".join(literal_eval(value)) if value.startswith("[") else "" if value == "None" else value
            yield f"| `{name}` | {'data' if name == 'data_dir' else shown} | {description} |"


def test_settings_page_when_compared_then_it_has_every_setting_with_its_default_and_no_other() -> None:
    documented = [line for line in text("docs/settings.md").splitlines() if line.startswith("| `")]
    assert sorted(documented) == sorted(setting_rows())


def alert_keys() -> Iterator[str]:
    """Beginnings of the keys that notices are raised with, from the source."""
    for file in files("engine"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = ast.unparse(node.func).split(".")[-1]
            if name not in {"Notice", "notice", "_notice", "alarm"}:
                continue
            match node.args[0]:
                case ast.Constant(value=str(key)):
                    yield key
                case ast.JoinedStr(values=[ast.Constant(value=str(beginning)), *_]):
                    yield beginning


def test_alerts_page_when_compared_then_it_has_every_key() -> None:
    documented = text("docs/alerts.md")
    keys = set(alert_keys())
    assert {"brake", "stop", "engine", "failed-trades", "health:"} <= keys
    assert [key for key in sorted(keys) if not re.search(rf"\| `(?:BOOK:)?{re.escape(key)}", documented)] == []
    raised = [f"health:{name}" for name, row in PROBES.items() if row.levels(HealthConfig())]
    assert [key for key in raised if f"`{key}`" not in documented] == []


def test_readme_when_compared_then_it_names_every_command() -> None:
    groups = build_parser()._subparsers
    assert groups is not None
    names = list(groups._group_actions[0].choices or ())
    readme = text("README.md")
    assert [name for name in names if f"`python -m engine {name}`" not in readme] == []
    assert "\nmake run " in readme
    assert "\nmake test " in readme


@pytest.mark.parametrize(
    "page", sorted(str(p.relative_to(ROOT)) for p in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
)
def test_page_when_it_links_then_the_target_exists(page: str) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", text(page))
    assert [target for target in targets if not ((ROOT / page).parent / target).exists()] == []


def test_version_when_compared_then_it_is_the_same_everywhere() -> None:
    assert project()["project"]["version"] == VERSION  # type: ignore[index]
    assert re.findall(r"^## (\S+)", text("CHANGELOG.md"), re.MULTILINE)[0] == VERSION


# -- set-up ----------------------------------------------------------------------------------------------------------


def test_find_python_when_only_an_old_one_is_there_then_it_is_refused_by_name(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\necho 3.10\n")
    old.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", str(ROOT / ".ci" / "find-python")],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    assert "Quarterdeck needs Python 3.11, 3.12 or 3.13" in done.stderr
    assert "python3 is Python 3.10" in done.stderr


def test_ci_when_it_runs_then_it_is_the_command_of_the_readme() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert script.read_text().rstrip().endswith("exec make test")
