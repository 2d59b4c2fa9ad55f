"""What the engine costs in time and memory; each module is run by hand, none of them is a test."""
