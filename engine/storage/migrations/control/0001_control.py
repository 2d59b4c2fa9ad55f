"""Commands, versioned settings, sealed credentials and the audit chain."""

import sqlalchemy as sa
from alembic import op

revision = "0001_control"
down_revision = None


def upgrade() -> None:
    """Create the tables of the control file that belong to no person."""
    _commands()
    _settings()
    op.create_table(
        "audit",
        sa.Column("sequence", sa.Integer(), nullable=False),
        *_text("at", "actor", "source", "action", "target", "detail"),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_audit"),
    )
    op.create_index("ix_audit_action", "audit", ["action"])


def downgrade() -> None:
    """Drop them again."""
    for table in ("audit", "venue_credentials", "settings", "commands"):
        op.drop_table(table)


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _commands() -> None:
    op.create_table(
        "commands",
        sa.Column("position", sa.Integer(), autoincrement=True, nullable=False),
        *_text("command_id", "kind", "actor", "payload", "received_at", "status", "detail"),
        sa.Column("completed_at", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("position", name="pk_commands"),
        sa.UniqueConstraint("command_id", name="uq_commands_command_id"),
    )
    op.create_index("ix_commands_status", "commands", ["status"])


def _settings() -> None:
    op.create_table(
        "settings",
        *_text("namespace", "key"),
        sa.Column("version", sa.Integer(), nullable=False),
        *_text("value", "actor", "note", "at"),
        sa.PrimaryKeyConstraint("namespace", "key", "version", name="pk_settings"),
    )
    op.create_table(
        "venue_credentials",
        *_text("exchange_id", "label"),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        *_text("options", "created_at"),
        sa.Column("checked_at", sa.Text(), nullable=True),
        sa.Column("check_ok", sa.Integer(), nullable=True),
        *_text("check_detail"),
        sa.PrimaryKeyConstraint("exchange_id", "label", name="pk_venue_credentials"),
    )
