"""Alerts, muted keys, channels with sealed addresses, and the outbox."""

import sqlalchemy as sa
from alembic import op

revision = "0003_alerts"
down_revision = "0002_people"


def upgrade() -> None:
    """Create the tables of alerts."""
    op.create_table(
        "alerts",
        sa.Column("alert_id", sa.Integer(), autoincrement=True, nullable=False),
        *_text("key", "severity", "title", "detail", "book", "market_at", "first_at", "last_at"),
        sa.Column("times", sa.Integer(), nullable=False),
        *_text("closed_by"),
        sa.Column("closed_at", sa.Text(), nullable=True),
        sa.Column("told_at", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("alert_id", name="pk_alerts"),
    )
    op.create_index("ix_alerts_open_key", "alerts", ["key"], unique=True, sqlite_where=sa.text("closed_by = ''"))
    op.create_index("ix_alerts_last_at", "alerts", ["last_at"])
    op.create_table("alert_mutes", *_text("key", "until"), sa.PrimaryKeyConstraint("key", name="pk_alert_mutes"))
    _channels()
    _outbox()


def downgrade() -> None:
    """Drop them again."""
    for table in ("alert_outbox", "alert_channels", "alert_mutes", "alerts"):
        op.drop_table(table)


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _channels() -> None:
    op.create_table(
        "alert_channels",
        *_text("channel_id", "kind", "label", "hint"),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        *_text("minimum_severity", "created_at"),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("paused_until", sa.Text(), nullable=True),
        *_text("last_result"),
        sa.Column("last_at", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("channel_id", name="pk_alert_channels"),
    )


def _outbox() -> None:
    op.create_table(
        "alert_outbox",
        sa.Column("message_id", sa.Integer(), autoincrement=True, nullable=False),
        *_text("channel_id"),
        sa.Column("alert_id", sa.Integer(), nullable=True),
        *_text("key", "severity", "title", "detail", "book", "market_at"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        *_text("next_at", "outcome", "last_error"),
        sa.Column("ended_at", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("message_id", name="pk_alert_outbox"),
        sa.ForeignKeyConstraint(
            ["channel_id"], ["alert_channels.channel_id"], name="fk_alert_outbox_channel_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["alert_id"], ["alerts.alert_id"], name="fk_alert_outbox_alert_id", ondelete="CASCADE"),
    )
    op.create_index("ix_alert_outbox_channel_id", "alert_outbox", ["channel_id"])
    op.create_index("ix_alert_outbox_alert_id", "alert_outbox", ["alert_id"])
    op.create_index("ix_alert_outbox_waiting", "alert_outbox", ["next_at"], sqlite_where=sa.text("outcome = ''"))
