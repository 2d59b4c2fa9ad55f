"""Builds, runs, asks and stops the engine: the only place that knows every part."""
