"""Secrets, people, proof: who may come in, and how keys are kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine.security.keystore import FileKeyStore, KeyStore

KEY_STORES: dict[str, Callable[[Path], KeyStore]] = {"file": FileKeyStore}
"""Keepers of the key-encryption key by the name used in the settings; each takes its folder."""
