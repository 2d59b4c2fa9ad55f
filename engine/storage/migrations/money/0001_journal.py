"""The journal, its projections, the lease and the checkpoints."""

import sqlalchemy as sa
from alembic import op

revision = "0001_journal"
down_revision = None


def upgrade() -> None:
    """Create every table of the money file."""
    _journal()
    _orders()
    _fills()
    _flows()
    _marks()


def downgrade() -> None:
    """Drop every table of the money file."""
    for table in (
        "checkpoints", "equity_marks", "commands_done", "cash_flows", "funding", "fills", "orders", "lease", "journal",
    ):  # fmt: skip
        op.drop_table(table)


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _optional(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=True) for name in names]


def _journal() -> None:
    op.create_table(
        "journal",
        sa.Column("sequence", sa.Integer(), nullable=False),
        *_text("book", "market_time", "wall_time", "kind", "payload"),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_journal"),
    )
    op.create_index("ix_journal_book_kind", "journal", ["book", "kind"])
    op.create_table(
        "lease",
        sa.Column("epoch", sa.Integer(), nullable=False),
        *_text("installation", "acquired_at"),
        sa.PrimaryKeyConstraint("epoch", name="pk_lease"),
    )


def _orders() -> None:
    op.create_table(
        "orders",
        *_text("client_id"),
        sa.Column("sequence", sa.Integer(), nullable=False),
        *_text("book", "instrument", "side", "quantity", "order_type", "purpose", "sleeve", "created_at"),
        *_text("reference_price"),
        *_optional("limit_price", "stop_price"),
        sa.Column("reduce_only", sa.Integer(), nullable=False),
        *_optional("parent_id"),
        *_text("reason", "state", "filled"),
        *_optional("venue_order_id"),
        *_text("venue_reason", "updated_at"),
        sa.PrimaryKeyConstraint("client_id", name="pk_orders"),
    )
    op.create_index("ix_orders_book", "orders", ["book", "sequence"])


def _fills() -> None:
    op.create_table(
        "fills",
        sa.Column("sequence", sa.Integer(), nullable=False),
        *_text("book", "venue", "account", "trade_id", "client_id", "venue_order_id", "instrument", "side"),
        *_text("quantity", "price", "fee", "fee_currency", "liquidity", "at"),
        sa.PrimaryKeyConstraint("sequence", name="pk_fills"),
        sa.UniqueConstraint("venue", "account", "trade_id", name="uq_fills_venue_account_trade_id"),
    )
    op.create_index("ix_fills_book", "fills", ["book", "sequence"])
    op.create_index("ix_fills_client_id", "fills", ["client_id"])


def _flows() -> None:
    op.create_table(
        "funding",
        sa.Column("sequence", sa.Integer(), nullable=False),
        *_text("book", "venue", "account", "payment_id", "instrument", "rate", "mark", "amount", "currency", "at"),
        sa.PrimaryKeyConstraint("sequence", name="pk_funding"),
        sa.UniqueConstraint("venue", "account", "payment_id", name="uq_funding_venue_account_payment_id"),
    )
    op.create_table(
        "cash_flows",
        sa.Column("sequence", sa.Integer(), nullable=False),
        *_text("book", "venue", "flow_id", "currency", "amount", "at", "reason"),
        sa.PrimaryKeyConstraint("sequence", name="pk_cash_flows"),
        sa.UniqueConstraint("book", "venue", "flow_id", name="uq_cash_flows_book_venue_flow_id"),
    )


def _marks() -> None:
    op.create_table(
        "commands_done",
        *_text("book", "command_id"),
        sa.Column("sequence", sa.Integer(), nullable=False),
        *_text("status", "detail", "at"),
        sa.PrimaryKeyConstraint("book", "command_id", name="pk_commands_done"),
    )
    op.create_table(
        "equity_marks",
        sa.Column("sequence", sa.Integer(), nullable=False),
        *_text("book", "at", "equity", "units", "peak", "day_start", "week_start", "month_start"),
        sa.PrimaryKeyConstraint("sequence", name="pk_equity_marks"),
    )
    op.create_table(
        "checkpoints",
        sa.Column("checkpoint_id", sa.Integer(), autoincrement=True, nullable=False),
        *_text("book"),
        sa.Column("sequence", sa.Integer(), nullable=False),
        *_text("state", "created_at"),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("checkpoint_id", name="pk_checkpoints"),
    )
    op.create_index("ix_checkpoints_book", "checkpoints", ["book"])
