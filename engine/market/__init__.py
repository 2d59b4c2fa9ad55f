"""Prices that were checked at the door: marks, windows of candles, and what a file of candles is worth."""
