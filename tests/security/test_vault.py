"""The vault, attacked: changed bits, moved rows, other keys, open files, crashes and rivals."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.errors import BadInput, CannotRecord
from engine.security import KEY_STORES, vault
from engine.security.keyring import Keyring
from engine.security.keystore import (
    FileKeyStore,
    KeyUnavailable,
    KeyUnsafe,
    SecretUnreadable,
    VaultError,
    check_key,
)
from engine.security.vault import Vault

ROOT = Path(__file__).resolve().parents[2]
PLACE = ("exchange-keys", "binance:main", "secret")


def opened(folder: Path) -> Vault:
    return Vault(FileKeyStore(folder / "keys"), folder / "keyring.json")


@pytest.fixture(scope="module")
def shared_vault(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    return opened(tmp_path_factory.mktemp("vault"))


text = st.text(max_size=20)


@settings(max_examples=60, deadline=None)
@given(value=st.binary(max_size=300), row=text, field=text)
def test_vault_when_sealed_then_opens_to_the_same(shared_vault: Vault, value: bytes, row: str, field: str) -> None:
    blob = shared_vault.seal("p", row, field, value)
    assert shared_vault.open("p", row, field, blob).reveal() == value
    assert len(value) < 4 or value not in blob


@settings(max_examples=150, deadline=None)
@given(value=st.binary(min_size=1, max_size=64), data=st.data())
def test_cry_01_any_flipped_bit_is_refused(shared_vault: Vault, value: bytes, data: st.DataObject) -> None:
    blob = bytearray(shared_vault.seal(*PLACE, value))
    bit = data.draw(st.integers(0, len(blob) * 8 - 1))
    blob[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(VaultError):
        shared_vault.open(*PLACE, bytes(blob))


@settings(max_examples=60, deadline=None)
@given(blob=st.binary(max_size=120), cut=st.integers(0, 60))
def test_cry_01_garbage_and_cut_blobs_are_refused(shared_vault: Vault, blob: bytes, cut: int) -> None:
    whole = shared_vault.seal(*PLACE, b"a secret value")
    for bad in (blob, whole[:-1], whole[:cut], whole + b"\x00", b"QDV" + blob):
        if bad != whole:
            with pytest.raises(VaultError):
                shared_vault.open(*PLACE, bad)


@settings(max_examples=60, deadline=None)
@given(here=st.tuples(text, text), there=st.tuples(text, text))
def test_cry_02_blob_moved_to_another_place_is_refused(
    shared_vault: Vault, here: tuple[str, str], there: tuple[str, str]
) -> None:
    blob = shared_vault.seal("p", *here, b"value")
    if here == there:
        assert shared_vault.open("p", *there, blob).reveal() == b"value"
        return
    with pytest.raises(SecretUnreadable):
        shared_vault.open("p", *there, blob)


def test_cry_02_blob_of_another_purpose_is_refused(tmp_path: Path) -> None:
    made = opened(tmp_path)
    blob = made.seal("p", "r", "f", b"value")
    made.seal("q", "r", "f", b"value")
    with pytest.raises(SecretUnreadable):
        made.open("q", "r", "f", blob)
    with pytest.raises(KeyUnavailable):
        made.open("never used", "r", "f", blob)


def test_cry_03_older_blob_of_a_row_is_refused_where_the_row_carries_its_version(tmp_path: Path) -> None:
    made = opened(tmp_path)
    old = made.seal("p", "binance:1", "secret", b"old")
    made.seal("p", "binance:2", "secret", b"new")
    with pytest.raises(SecretUnreadable):
        made.open("p", "binance:2", "secret", old)


def test_cry_04_nonces_never_repeat_and_uses_are_counted_ahead(tmp_path: Path) -> None:
    made = opened(tmp_path)
    blobs = [made.seal("p", "r", "f", b"") for _ in range(20_000)]
    assert len({blob[-28:-16] for blob in blobs}) == len(blobs)
    key = Keyring(tmp_path / "keyring.json").newest("p")
    assert key is not None
    assert 20_000 <= key.uses < 22_000


SEALER = """
import sys
from pathlib import Path
from engine.security.keystore import FileKeyStore
from engine.security.vault import Vault
folder = Path(sys.argv[1])
made = Vault(FileKeyStore(folder / "keys"), folder / "keyring.json")
print("\\n".join(made.seal("p", "r", "f", b"x").hex() for _ in range(500)))
"""


def test_cry_04_several_processes_share_one_ring(tmp_path: Path) -> None:
    here = opened(tmp_path)
    command = [sys.executable, "-c", SEALER, str(tmp_path)]
    rivals = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    blobs = [bytes.fromhex(line) for rival in rivals for line in rival.communicate(timeout=60)[0].split()]
    assert len({blob[-29:-17] for blob in blobs}) == 1000
    assert all(here.open("p", "r", "f", blob).reveal() == b"x" for blob in blobs)
    key = Keyring(tmp_path / "keyring.json").newest("p")
    assert key is not None
    assert (key.version, key.uses) == (1, 2048)


def test_cry_04_worn_data_key_is_replaced_and_old_blobs_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault, "MOST_USES", 1024)
    made = opened(tmp_path)
    blobs = [made.seal("p", "r", "f", b"x") for _ in range(1500)]
    versions = {blob[10:14] for blob in blobs}
    assert versions == {b"\x00\x00\x00\x01", b"\x00\x00\x00\x02"}
    assert {made.open("p", "r", "f", blob).text() for blob in blobs} == {"x"}


@pytest.mark.parametrize(("position", "value"), [(3, 99), (4, 2), (6, ord("x")), (13, 7)])
def test_cry_06_unknown_header_is_refused_with_words(tmp_path: Path, position: int, value: int) -> None:
    made = opened(tmp_path)
    blob = bytearray(made.seal(*PLACE, b"value"))
    blob[position] = value
    with pytest.raises(VaultError, match=r"format|missing"):
        made.open(*PLACE, bytes(blob))


def test_cry_07_other_key_file_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    opened(tmp_path).seal(*PLACE, b"value")
    (tmp_path / "keys" / "vault.key").unlink()
    before = (tmp_path / "keyring.json").read_bytes()
    with pytest.raises(SecretUnreadable, match="put the key file back"):
        opened(tmp_path)
    assert (tmp_path / "keyring.json").read_bytes() == before


@pytest.mark.parametrize("key", [b"x" * 31, b"\x00" * 32, b"password" * 4, bytes(range(8)) * 4, b""])
def test_cry_09_weak_keys_are_refused(key: bytes) -> None:
    with pytest.raises(KeyUnsafe):
        check_key(key)


@pytest.mark.parametrize(
    "content",
    ["", "hello", "quarterdeck key file 1\n", "quarterdeck key file 1\n1 ???\n", "quarterdeck key file 1\n1\n"],
)
def test_cry_09_damaged_key_file_is_refused(tmp_path: Path, content: str) -> None:
    FileKeyStore(tmp_path / "keys")
    (tmp_path / "keys" / "vault.key").write_text(content)
    with pytest.raises(KeyUnsafe):
        FileKeyStore(tmp_path / "keys")


def test_cry_10_key_file_is_private_and_open_modes_are_refused_with_the_command(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    FileKeyStore(folder)
    key = folder / "vault.key"
    assert (key.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    key.chmod(0o644)
    with pytest.raises(KeyUnsafe, match=f"run: chmod 600 '{key}'"):
        FileKeyStore(folder)
    key.chmod(0o600)
    folder.chmod(0o755)
    with pytest.raises(KeyUnsafe, match=f"run: chmod 700 '{folder}'"):
        FileKeyStore(folder)
    folder.chmod(0o700)
    elsewhere = tmp_path / "elsewhere"
    key.rename(elsewhere)
    key.symlink_to(elsewhere)
    with pytest.raises(KeyUnsafe, match="is a link"):
        FileKeyStore(folder)


def test_cry_12_after_rotation_all_opens_and_the_old_key_is_gone(tmp_path: Path) -> None:
    made = opened(tmp_path)
    blobs = {purpose: made.seal(purpose, "r", "f", purpose.encode()) for purpose in ("a", "b", "c")}
    old_key = (tmp_path / "keys" / "vault.key").read_text()
    report = made.rotate()
    assert (report.key_version, report.rewrapped, report.left_on_old) == (2, 4, 0)
    assert old_key.splitlines()[1] not in (tmp_path / "keys" / "vault.key").read_text()
    again = opened(tmp_path)
    assert all(again.open(purpose, "r", "f", blob).text() == purpose for purpose, blob in blobs.items())
    assert again.renew("a") == 2
    assert again.open("a", "r", "f", blobs["a"]).text() == "a"


def test_cry_13_other_process_goes_on_across_a_rotation(tmp_path: Path) -> None:
    engine, command = opened(tmp_path), opened(tmp_path)
    blob = engine.seal(*PLACE, b"value")
    command.rotate()
    assert engine.open(*PLACE, blob).text() == "value"
    fresh = engine.seal("new purpose", "r", "f", b"later")
    assert opened(tmp_path).open("new purpose", "r", "f", fresh).text() == "later"


@pytest.mark.parametrize("after", ["begin", "rewrap"])
def test_cry_14_rotation_killed_half_way_is_finished_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    made = opened(tmp_path)
    blob = made.seal(*PLACE, b"value")

    def die(*_: object) -> None:
        raise CannotRecord("killed")

    with monkeypatch.context() as broken:
        broken.setattr(
            Keyring if after == "begin" else FileKeyStore, "put" if after == "begin" else "finish_rotation", die
        )
        with pytest.raises(CannotRecord):
            made.rotate()
    assert len((tmp_path / "keys" / "vault.key").read_text().splitlines()) == 3
    again = opened(tmp_path)
    assert again.open(*PLACE, blob).text() == "value"
    assert len((tmp_path / "keys" / "vault.key").read_text().splitlines()) == 2


def test_seal_when_ring_cannot_be_written_then_error_and_nothing_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = opened(tmp_path)

    def full(*_: object) -> None:
        raise CannotRecord("disk full")

    monkeypatch.setattr("engine.security.keyring.write_private", full)
    with pytest.raises(CannotRecord):
        made.seal(*PLACE, b"value")


@pytest.mark.parametrize(
    "content", ["{", '{"format": 9, "keys": []}', '{"format": 1}', "[]", '{"format":1,"keys":[{}]}']
)
def test_keyring_when_damaged_then_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "keyring.json").write_text(content)
    with pytest.raises(KeyUnsafe):
        opened(tmp_path)


@pytest.mark.parametrize("purpose", ["", "a\x00b"])
def test_seal_when_purpose_is_unfit_then_refused(tmp_path: Path, purpose: str) -> None:
    with pytest.raises(BadInput):
        opened(tmp_path).seal(purpose, "r", "f", b"")


def test_key_stores_when_listed_then_every_one_keeps_the_contract(tmp_path: Path) -> None:
    for name, make in KEY_STORES.items():
        store = make(tmp_path / name)
        wrapped = store.wrap(b"k" * 32, b"context")
        store.begin_rotation()
        assert store.unwrap(wrapped, b"context") == b"k" * 32
        assert store.version == wrapped.key_version + 1
        with pytest.raises(SecretUnreadable):
            store.unwrap(wrapped, b"other context")
        store.finish_rotation()
        with pytest.raises(KeyUnavailable):
            store.unwrap(wrapped, b"context")
        assert store.name == name
