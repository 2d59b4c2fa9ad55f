"""The one gateway to every real exchange."""
