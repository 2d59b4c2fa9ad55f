"""Orders out, fills back: identities, the table of order states, and what is in flight."""
