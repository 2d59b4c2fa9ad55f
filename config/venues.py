"""Settings of accounts at exchanges, by the name a person gives each: which exchange, sandbox or not, where it is."""

from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from config.sections import Section
from engine.exchanges import EXCHANGES
from engine.exchanges.wallet_rows import SAME_TYPES

HERE = ("127.0.0.1", "localhost", "::1")
NAME = r"^[A-Za-z0-9][A-Za-z0-9 _-]{0,39}$"


class VenueSettings(Section):
    """One account at an exchange, or at its sandbox; its keys lie in the vault under exchange/NAME."""

    exchange: str = Field(description="The exchange: its id in ccxt, e.g. bybit")
    sandbox: bool = Field(False, description="Whether it is the exchange's test exchange")
    rest_url: str = Field(
        "", pattern=r"^(https?://\S+)?$", description="Other address of the exchange's REST interface"
    )
    websocket_url: str = Field("", pattern=r"^(wss?://\S+)?$", description="Other address of the exchange's websockets")
    account_types: tuple[str, ...] = Field(
        (), description="Wallets of the account that are read and traded, e.g. spot, unified; empty: all"
    )

    @field_validator("exchange")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in EXCHANGES:
            raise ValueError(f"exchange {name!r} is not known; choose one of {', '.join(EXCHANGES)}")
        return name

    @field_validator("account_types")
    @classmethod
    def _plain(cls, types: tuple[str, ...]) -> tuple[str, ...]:
        words = (each.strip().lower() for each in types)
        return tuple(dict.fromkeys(SAME_TYPES.get(word, word) for word in words))

    @model_validator(mode="after")
    def _possible(self) -> Self:
        row = EXCHANGES[self.exchange]
        if self.sandbox and not row.has_sandbox:
            raise ValueError(f"{row.title} has no sandbox; leave sandbox out, and use paper with its prices")
        there = row.wallets.account_types
        for unknown in sorted(set(self.account_types) - set(there)):
            raise ValueError(f"account_types: {row.title} has no {unknown!r}; it has {', '.join(there)}")
        if self.websocket_url and not self.rest_url:
            raise ValueError(
                "websocket_url without rest_url: give both, or rest_url alone, which listens to no websocket"
            )
        return self

    @property
    def is_here(self) -> bool:
        """Whether it is a stand-in on this computer, at which no real money can be."""
        return (urlsplit(self.rest_url).hostname or "") in HERE
