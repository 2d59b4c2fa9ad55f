"""Studies, their trials, and the looks at their holdouts."""

import sqlalchemy as sa
from alembic import op

revision = "0001_research"
down_revision = None


def upgrade() -> None:
    """Create every table of the research file."""
    op.create_table(
        "studies",
        *_text("name", "strategy", "definition", "created_at"),
        sa.PrimaryKeyConstraint("name", name="pk_studies"),
    )
    op.create_table(
        "trials",
        *_text("study"),
        sa.Column("number", sa.Integer(), nullable=False),
        *_text("state", "settings"),
        sa.Column("value", sa.Float(), nullable=True),
        *_text("fold_scores"),
        sa.Column("returns", sa.LargeBinary(), nullable=False),
        *_text("reason", "revision", "ended_at"),
        sa.ForeignKeyConstraint(["study"], ["studies.name"], name="fk_trials_study"),
        sa.PrimaryKeyConstraint("study", "number", name="pk_trials"),
    )
    op.create_table(
        "holdout_touches",
        *_text("study", "strategy", "instruments", "start", "stop", "touched_at", "settings", "record"),
        sa.ForeignKeyConstraint(["study"], ["studies.name"], name="fk_holdout_touches_study"),
        sa.PrimaryKeyConstraint("study", name="pk_holdout_touches"),
    )


def downgrade() -> None:
    """Drop them again."""
    for table in ("holdout_touches", "trials", "studies"):
        op.drop_table(table)


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]
