"""The words every module shares: frozen facts, closed choices, narrow protocols, one tree of errors."""
