"""Keys of the stand-in exchange and what they may do."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

KEY = "standin-key-0001"
SECRET = "standin-secret-0001"


@dataclass(slots=True)
class Key:
    """A key; ``addresses`` are those it may be used from, empty is any."""

    key: str = KEY
    secret: str = SECRET
    can_trade: bool = True
    can_withdraw: bool = False
    addresses: tuple[str, ...] = ("127.0.0.1",)
    revoked: bool = False
    expired: bool = False

    def signs(self, payload: str, signature: str) -> bool:
        """Whether the signature was made with this secret."""
        mine = hmac.new(self.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
        return hmac.compare_digest(mine, signature)
