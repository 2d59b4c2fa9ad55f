"""What else is told of a trial: the results of a sweep's combinations."""

import sqlalchemy as sa
from alembic import op

revision = "0002_trial_figures"
down_revision = "0001_research"


def upgrade() -> None:
    """Trials that are there have none."""
    op.add_column("trials", sa.Column("figures", sa.Text(), nullable=False, server_default="{}"))


def downgrade() -> None:
    """Take the column away again."""
    op.drop_column("trials", "figures")
