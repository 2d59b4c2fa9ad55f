"""Settings of the product: one commented default file, what overrides it, and their checks."""
