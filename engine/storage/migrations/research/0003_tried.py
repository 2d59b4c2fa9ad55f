"""Which settings were tried on which days, by whatever made the run; and what is stored of it already."""

import hashlib
import json
import math
from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0003_tried"
down_revision = "0002_trial_figures"

_YEAR_DAYS = 365.0
_AT_ONCE = 500


def upgrade() -> None:
    """Create both tables, and fill in every trial that was run."""
    op.create_table(
        "tried_days",
        sa.Column("id", sa.Integer(), nullable=False),
        *_text("strategy", "source", "assets", "series", "start", "stop", "limits", "created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_tried_days"),
        sa.UniqueConstraint("strategy", "source", "series", "start", "stop", "limits", name="uq_tried_days_strategy"),
    )
    op.create_table(
        "tried",
        sa.Column("days_id", sa.Integer(), nullable=False),
        *_text("key", "settings"),
        sa.Column("sharpe", sa.Float(), nullable=False),
        sa.Column("days", sa.Float(), nullable=False),
        *_text("revision", "ended_at"),
        sa.ForeignKeyConstraint(["days_id"], ["tried_days.id"], name="fk_tried_days_id"),
        sa.PrimaryKeyConstraint("days_id", "key", name="pk_tried"),
    )
    for row in op.get_bind().execute(sa.text("SELECT name, strategy, definition, created_at FROM studies")).all():
        _fill_in(row)


def downgrade() -> None:
    """Drop them again."""
    for table in ("tried", "tried_days"):
        op.drop_table(table)


def _fill_in(study: sa.Row[tuple[str, str, str, str]]) -> None:
    definition, bind = json.loads(study.definition), op.get_bind()
    if not {"series", "development"} <= definition.keys():
        return
    series = sorted([one["instrument"], one["timeframe"], one["sha256"]] for one in definition["series"])
    assets = sorted({key.partition(":")[2].partition("/")[0] for key, _, _ in series})
    timeframes = sorted({timeframe for _, timeframe, _ in series})
    limits = {name: definition.get(name) for name in ("risk", "brake")}
    made = bind.execute(
        sa.text(
            "INSERT INTO tried_days (strategy, source, assets, series, start, stop, limits, created_at) "
            "VALUES (:strategy, :source, :assets, :series, :start, :stop, :limits, :at)"
        ),
        {
            "strategy": study.strategy,
            "source": study.name,
            "assets": _json(assets),
            "series": _json(series),
            "start": definition["development"]["from"],
            "stop": definition["development"]["to"],
            "limits": _json(limits),
            "at": study.created_at,
        },
    )
    shared = _json({"limits": limits, "assets": assets, "timeframes": timeframes})
    start, stop = (datetime.fromisoformat(definition["development"][end]) for end in ("from", "to"))
    length = (stop - start).total_seconds() / 86_400
    query = sa.text("SELECT * FROM trials WHERE study = :name AND state != 'refused' ORDER BY number")
    for trial in bind.execute(query.execution_options(yield_per=_AT_ONCE), {"name": study.name}).all():
        settings = {**definition.get("fixed", {}), **json.loads(trial.settings)}
        bind.execute(
            sa.text("INSERT OR IGNORE INTO tried VALUES (:days_id, :key, :settings, :sharpe, :days, :revision, :at)"),
            {
                "days_id": made.lastrowid,
                "key": hashlib.sha256(f"{shared}{_json(settings)}".encode()).hexdigest(),
                "settings": _json(settings),
                "sharpe": (trial.value or 0.0) / math.sqrt(_YEAR_DAYS),
                "days": float(len(trial.returns) // 8) or length,
                "revision": trial.revision,
                "at": trial.ended_at,
            },
        )


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]
