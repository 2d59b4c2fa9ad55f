"""A simulated venue, harsher than the market, that demo, paper and replay trade on."""

from engine.exchanges.paper.costs import PaperCosts
from engine.exchanges.paper.faults import Call, Fault, OutageMode, VenueFaults
from engine.exchanges.paper.journal import FileVenueJournal, MemoryVenueJournal, VenueJournal
from engine.exchanges.paper.venue import PaperVenue

__all__ = [
    "Call",
    "Fault",
    "FileVenueJournal",
    "MemoryVenueJournal",
    "OutageMode",
    "PaperCosts",
    "PaperVenue",
    "VenueFaults",
    "VenueJournal",
]
