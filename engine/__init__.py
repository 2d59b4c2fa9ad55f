"""The trading engine: domain words, maths, decisions, adapters and the process that runs them."""
