"""Executions are unique by instrument too: some exchanges number the trades of every symbol on their own."""

from alembic import op

revision = "0002_fill_identity"
down_revision = "0001_journal"

_BEFORE, _NOW = "uq_fills_venue_account_trade_id", "uq_fills_venue_account_instrument_trade_id"


def upgrade() -> None:
    """Every row that is there stays: what was unique without the instrument is unique with it."""
    with op.batch_alter_table("fills") as fills:
        fills.drop_constraint(_BEFORE, type_="unique")
        fills.create_unique_constraint(_NOW, ["venue", "account", "instrument", "trade_id"])


def downgrade() -> None:
    """The narrower rule again; fails where two instruments share a number."""
    with op.batch_alter_table("fills") as fills:
        fills.drop_constraint(_NOW, type_="unique")
        fills.create_unique_constraint(_BEFORE, ["venue", "account", "trade_id"])
