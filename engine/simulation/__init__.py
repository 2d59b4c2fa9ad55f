"""The past and the imagined market, replayed honestly."""
