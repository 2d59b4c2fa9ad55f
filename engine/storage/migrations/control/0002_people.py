"""People, their sessions, the code of the first start, and the failed sign-ins that are counted."""

import sqlalchemy as sa
from alembic import op

revision = "0002_people"
down_revision = "0001_control"


def upgrade() -> None:
    """Create the tables of access control."""
    op.create_table(
        "people",
        *_text("name_key", "name", "role", "password_hash", "created_at"),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("last_seen_at", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name_key", name="pk_people"),
    )
    op.create_table(
        "owner_code",
        sa.Column("position", sa.Integer(), nullable=False),
        *_text("code_hash", "expires_at"),
        sa.PrimaryKeyConstraint("position", name="pk_owner_code"),
    )
    op.create_table(
        "signin_failures",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        *_text("who", "address", "at"),
        sa.PrimaryKeyConstraint("number", name="pk_signin_failures"),
    )
    op.create_index("ix_signin_failures_who", "signin_failures", ["who"])
    op.create_index("ix_signin_failures_address", "signin_failures", ["address"])
    op.create_index("ix_signin_failures_at", "signin_failures", ["at"])
    _sessions()


def downgrade() -> None:
    """Drop them again."""
    for table in ("sessions", "signin_failures", "owner_code", "people"):
        op.drop_table(table)


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _sessions() -> None:
    op.create_table(
        "sessions",
        *_text("handle", "user_key", "token_hash", "form_key", "address", "agent"),
        *_text("created_at", "last_seen_at", "expires_at"),
        sa.Column("pending_hash", sa.Text(), nullable=True),
        sa.Column("stepped_up_until", sa.Text(), nullable=True),
        sa.Column("rotation_due", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("handle", name="pk_sessions"),
        sa.ForeignKeyConstraint(["user_key"], ["people.name_key"], name="fk_sessions_user_key", ondelete="CASCADE"),
        sa.UniqueConstraint("token_hash", name="uq_sessions_token_hash"),
    )
    op.create_index("ix_sessions_user_key", "sessions", ["user_key"])
    op.create_index("ix_sessions_pending_hash", "sessions", ["pending_hash"])
