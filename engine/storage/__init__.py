"""What survives a crash: the journal and its projections, commands and settings, telemetry, candles, backups."""
