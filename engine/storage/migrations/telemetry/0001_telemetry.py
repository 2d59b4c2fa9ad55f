"""Samples, equity curves and the log of decisions."""

import sqlalchemy as sa
from alembic import op

revision = "0001_telemetry"
down_revision = None


def upgrade() -> None:
    """Create every table of the telemetry file."""
    _samples()
    _equity()
    op.create_table(
        "decisions",
        sa.Column("decision_id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("book", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.Integer(), nullable=False),
        *[sa.Column(name, sa.Text(), nullable=False) for name in ("strategy", "instrument", "rule", "detail")],
        sa.PrimaryKeyConstraint("decision_id", name="pk_decisions"),
    )
    op.create_index("ix_decisions_book", "decisions", ["book", "decision_id"])


def downgrade() -> None:
    """Drop them again."""
    for table in ("decisions", "equity_hours", "equity_samples", "samples_ten_minutes", "samples"):
        op.drop_table(table)


def _integers(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.Integer(), nullable=False) for name in names]


def _floats(*names: str) -> list[sa.Column[float]]:
    return [sa.Column(name, sa.Float(), nullable=False) for name in names]


def _samples() -> None:
    op.create_table(
        "samples",
        sa.Column("name", sa.Text(), nullable=False),
        *_integers("at_ms"),
        *_floats("value"),
        sa.PrimaryKeyConstraint("name", "at_ms", name="pk_samples"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_samples_at_ms", "samples", ["at_ms"])
    op.create_table(
        "samples_ten_minutes",
        sa.Column("name", sa.Text(), nullable=False),
        *_integers("at_ms"),
        *_floats("total"),
        *_integers("count"),
        *_floats("low", "high"),
        sa.PrimaryKeyConstraint("name", "at_ms", name="pk_samples_ten_minutes"),
        sqlite_with_rowid=False,
    )


def _equity() -> None:
    op.create_table(
        "equity_samples",
        sa.Column("book", sa.Text(), nullable=False),
        *_integers("market_ms", "wall_ms"),
        *_floats("equity", "cash", "drawdown", "unrealised"),
        sa.Column("sleeves", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("book", "market_ms", name="pk_equity_samples"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "equity_hours",
        sa.Column("book", sa.Text(), nullable=False),
        *_integers("hour_ms"),
        *_floats("low"),
        *_integers("low_ms"),
        *_floats("high"),
        *_integers("high_ms"),
        *_floats("deepest"),
        *_integers("deepest_ms", "last_ms", "samples"),
        sa.PrimaryKeyConstraint("book", "hour_ms", name="pk_equity_hours"),
        sqlite_with_rowid=False,
    )
