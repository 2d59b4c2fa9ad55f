"""Schema changes: whole or not at all, checked against the tables the code declares."""

from __future__ import annotations

import importlib
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlmodel import SQLModel

from engine.domain.errors import CannotRecord, DatabaseCorrupt, StorageError
from engine.storage import migrate as migration
from engine.storage.base import ControlBase, Database, MoneyBase, ResearchBase, TelemetryBase, open_engine
from engine.storage.migrate import MIGRATIONS, current_revision, migrate, migrate_file

ROOT = Path(__file__).resolve().parents[2]
BASES: dict[Database, type[SQLModel]] = {
    Database.MONEY: MoneyBase,
    Database.CONTROL: ControlBase,
    Database.TELEMETRY: TelemetryBase,
    Database.RESEARCH: ResearchBase,
}

BROKEN = """
import sqlalchemy as sa
from alembic import op
revision = "0003_broken"
down_revision = "0002_fill_identity"


def upgrade():
    op.create_table("half", sa.Column("a", sa.Integer()))
    op.execute("INSERT INTO half VALUES (1)")
    {then}
"""


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the revisions that a test may add to."""
    copy = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, copy)
    monkeypatch.setattr(migration, "MIGRATIONS", copy)
    migration._revisions.cache_clear()
    return copy


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type='table'")}


@pytest.mark.parametrize("database", list(Database), ids=lambda database: database.value)
def test_migrate_when_done_then_the_schema_is_what_the_tables_declare(folder: Path, database: Database) -> None:
    for file in MIGRATIONS.parent.glob("*.py"):
        if "table=True" in file.read_text():  # importing them is what registers the tables
            importlib.import_module(f"engine.storage.{file.stem}")
    migrate_file(database, folder)  # the optional one is not there yet
    opened = open_engine(database.path(folder), full_sync=True)
    with opened.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, BASES[database].metadata) == []
    opened.dispose()


@pytest.mark.parametrize("database", list(Database), ids=lambda database: database.value)
def test_revisions_when_read_by_name_then_they_are_alembics_chain(database: Database) -> None:
    scripts = MIGRATIONS / database.value
    directory = ScriptDirectory(str(scripts), version_locations=[str(scripts)])
    chain = [script.revision for script in directory.walk_revisions()][::-1]
    assert chain == sorted(file.stem for file in scripts.glob("[0-9]*.py"))


def test_migrate_when_new_then_private_files_and_a_line_each(tmp_path: Path) -> None:
    data = tmp_path / "new" / "data"
    assert len(migrate(data)) == 3
    for database in Database:
        assert database.path(data).exists() is not database.is_optional
        assert database.is_optional or stat.S_IMODE(database.path(data).stat().st_mode) == 0o600
    assert stat.S_IMODE(data.stat().st_mode) == 0o700


def test_migrate_when_current_then_nothing_and_alembic_is_not_loaded(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from engine.storage.migrate import migrate; "
        f"assert migrate(Path({str(folder)!r})) == []; assert 'alembic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)


def test_migrate_when_a_revision_fails_then_the_old_schema_stays_and_a_copy_lies_beside(
    folder: Path, scripts: Path
) -> None:
    money = Database.MONEY.path(folder)
    before = tables(money)
    (scripts / "money" / "0003_broken.py").write_text(
        BROKEN.format(then='op.execute("INSERT INTO nowhere VALUES (1)")')
    )
    with pytest.raises(StorageError, match=r"money\.sqlite keeps its old schema.*nowhere"):
        migrate(folder)
    assert tables(money) == before
    assert current_revision(money) == "0002_fill_identity"
    copies = list((folder / "backups" / "before-upgrade").glob("money-0002_fill_identity-*.sqlite"))
    assert len(copies) == 1
    assert tables(copies[0]) == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_migrate_when_killed_half_way_then_the_next_start_begins_again(folder: Path, scripts: Path) -> None:
    money = Database.MONEY.path(folder)
    before = tables(money)
    script = scripts / "money" / "0003_broken.py"
    script.write_text(BROKEN.format(then="import os; os._exit(9)"))
    code = (
        "from pathlib import Path; from engine.storage import migrate; "
        f"migrate.MIGRATIONS = Path({str(scripts)!r}); migrate.migrate(Path({str(folder)!r}))"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT, timeout=60)
    assert ended.returncode == 9
    assert current_revision(money) == "0002_fill_identity"
    script.write_text(BROKEN.format(then=""))
    assert migrate(folder) == ["money.sqlite: 0002_fill_identity -> 0003_broken"]
    assert tables(money) == before | {"half"}


def test_migrate_when_the_file_is_newer_than_the_program_then_it_says_so(folder: Path) -> None:
    with closing(sqlite3.connect(Database.CONTROL.path(folder))) as connection:
        connection.execute("UPDATE alembic_version SET version_num='0099_future'")
        connection.commit()
    with pytest.raises(StorageError, match=r"control\.sqlite is at schema 0099_future.*newer version"):
        migrate(folder)


def test_migrate_when_the_file_is_not_ours_then_it_is_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "money.sqlite")) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    with pytest.raises(StorageError, match="not ours"):
        migrate(tmp_path)
    assert tables(tmp_path / "money.sqlite") == {"theirs"}


def test_migrate_when_the_file_is_no_database_then_corrupt(tmp_path: Path) -> None:
    (tmp_path / "money.sqlite").write_bytes(b"x" * 5000)
    with pytest.raises(DatabaseCorrupt, match=r"money\.sqlite"):
        migrate(tmp_path)


def test_migrate_when_the_folder_is_a_file_then_cannot_record(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(CannotRecord, match="data"):
        migrate(tmp_path / "data")
