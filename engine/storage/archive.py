"""The form of a backup archive: a zip with a signed manifest, read with distrust."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import shutil
import stat
import zipfile
import zlib
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from engine.domain.codec import utc_from_text, utc_text
from engine.domain.errors import BadInput

FORMAT = 1
MANIFEST = "manifest.json"
MAX_FILES = 20_000
MAX_BYTES = 64 * 1024**3
MAX_MANIFEST_BYTES = 16 * 1024**2
MAX_KEY_BYTES = 1024
MAX_RATIO = 500
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of an archive: its path inside the data folder, size and SHA-256 (hex)."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive holds.

    Attributes
    ----------
    created_at : datetime
        Wall time.
    epoch : int
        Highest lease epoch the data folder had seen.
    with_keys : bool
        Whether the folder of keys is inside, in clear.
    files : tuple of Entry
        Everything else in the archive, sorted by name.
    candles : tuple of (str, int)
        Candle files (path, bytes) the data folder had; they are not inside.
    left_out : tuple of (str, int)
        Runs of research (folder, bytes) that would have made the archive too large; they are not inside.
    """

    created_at: datetime
    epoch: int
    with_keys: bool
    files: tuple[Entry, ...]
    candles: tuple[tuple[str, int], ...]
    left_out: tuple[tuple[str, int], ...] = ()


def write_manifest(archive: zipfile.ZipFile, manifest: Manifest, key: bytes) -> None:
    """Sign the manifest with the journal's key and add it as the last file."""
    body = _body(manifest)
    text = json.dumps({"body": body, "signature": _sign(body, key)}, indent=1, sort_keys=True)
    archive.writestr(MANIFEST, text, zipfile.ZIP_DEFLATED)


def read_manifest(archive: zipfile.ZipFile, key: bytes | None) -> Manifest:
    """The manifest, checked against its signature (unless ``key`` is None) and against the names in the zip.

    Raises
    ------
    BadInput
        No manifest, a wrong signature, a file too many or too few, an unsafe name, sizes beyond all reason.
    """
    infos = {info.filename: info for info in archive.infolist()}
    if len(infos) != len(archive.infolist()):
        raise BadInput("the archive holds a name twice; it was not made by this program")
    info = infos.pop(MANIFEST, None)
    if info is None or info.file_size > MAX_MANIFEST_BYTES:
        raise BadInput("the archive has no usable manifest.json; it was not made by this program")
    manifest = _parse(_read_member(archive, info, MAX_MANIFEST_BYTES), key)
    for entry in manifest.files:
        _check_entry(entry, infos.pop(entry.name, None))
    if infos:
        raise BadInput(f"the archive holds files its manifest does not name: {', '.join(sorted(infos)[:5])}")
    if len(manifest.files) > MAX_FILES or sum(entry.bytes for entry in manifest.files) > MAX_BYTES:
        raise BadInput(f"the archive is larger than {MAX_FILES} files or {MAX_BYTES >> 30} GiB and is refused")
    return manifest


def extract(archive: zipfile.ZipFile, entry: Entry, folder: Path) -> Path:
    """Write one file below ``folder``, never more than the manifest says; raises `BadInput` if it differs from it."""
    target = folder / entry.name
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    try:
        target.touch(0o600, exist_ok=False)
        with archive.open(entry.name) as source, target.open("wb") as file:
            while block := source.read(_BLOCK):
                size += len(block)
                if size > entry.bytes:
                    break
                digest.update(block)
                file.write(block)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise BadInput(f"{entry.name} in the archive is damaged: {error}") from error
    if size != entry.bytes or digest.hexdigest() != entry.sha256:
        raise BadInput(f"{entry.name} in the archive is not what its manifest says; the archive was changed or damaged")
    return target


def read_key(archive: zipfile.ZipFile, entry: Entry) -> bytes:
    """A key file's content; raises `BadInput` if it differs from the manifest or is far too large for a key."""
    if entry.bytes > MAX_KEY_BYTES:
        raise BadInput(f"{entry.name} in the archive has {entry.bytes} bytes, which is no key")
    content = _read_member(archive, archive.getinfo(entry.name), MAX_KEY_BYTES)
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise BadInput(f"{entry.name} in the archive is not what its manifest says; the archive was changed or damaged")
    return content


def add_file(archive: zipfile.ZipFile, path: Path, name: str) -> Entry:
    """Add a file as it is at this moment; its entry for the manifest."""
    with path.open("rb") as source:
        return _add(archive, source, name)


def add_bytes(archive: zipfile.ZipFile, content: bytes, name: str) -> Entry:
    """Add a file whose content was read already; its entry for the manifest."""
    return _add(archive, io.BytesIO(content), name)


def require_space(folder: Path, wanted: int) -> None:
    """Refuse early when the disk cannot hold so many bytes."""
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise BadInput(f"{folder} has {free >> 20} MiB free, {wanted >> 20} MiB are needed; free disk space first")


def _add(archive: zipfile.ZipFile, source: BinaryIO, name: str) -> Entry:
    digest, size = hashlib.sha256(), 0
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = (stat.S_IFREG | 0o600) << 16
    with archive.open(info, "w", force_zip64=True) as target:
        while block := source.read(_BLOCK):
            digest.update(block)
            size += len(block)
            target.write(block)
    return Entry(name, size, digest.hexdigest())


def _check_entry(entry: Entry, info: zipfile.ZipInfo | None) -> None:
    path = PurePosixPath(entry.name)
    unsafe = path.is_absolute() or ".." in path.parts or not path.parts or str(path) != entry.name
    if unsafe or any(mark in entry.name for mark in ("\\", ":", "\0")):
        raise BadInput(f"the archive names {entry.name!r}, which would be written outside the data folder")
    if info is None:
        raise BadInput(f"{entry.name} is in the manifest but not in the archive")
    if stat.S_ISLNK(info.external_attr >> 16) or info.is_dir():
        raise BadInput(f"{entry.name} in the archive is no plain file")
    if info.file_size != entry.bytes or info.file_size > MAX_RATIO * max(info.compress_size, 4096):
        raise BadInput(f"{entry.name} in the archive unpacks to {info.file_size} bytes, which is refused")


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> bytes:
    try:
        with archive.open(info) as source:
            return source.read(most)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise BadInput(f"{info.filename} in the archive is damaged: {error}") from error


def _parse(content: bytes, key: bytes | None) -> Manifest:
    try:
        document = json.loads(content)
        body, signature = document["body"], str(document["signature"])
        if body["format"] != FORMAT:
            raise BadInput(f"the archive has format {body['format']!r}; this version reads {FORMAT}")
        manifest = Manifest(
            utc_from_text(body["created_at"]),
            int(body["epoch"]),
            bool(body["with_keys"]),
            tuple(Entry(str(item["name"]), int(item["bytes"]), str(item["sha256"])) for item in body["files"]),
            tuple((str(name), int(size)) for name, size in body["candles"]),
            tuple((str(name), int(size)) for name, size in body.get("left_out", ())),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"the archive's manifest cannot be read: {error!r}") from error
    if key is not None and not hmac.compare_digest(signature.encode(), _sign(body, key).encode()):
        raise BadInput("the archive's manifest is not signed with this key: it was changed, or belongs to other keys")
    return manifest


def _body(manifest: Manifest) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "created_at": utc_text(manifest.created_at),
        "epoch": manifest.epoch,
        "with_keys": manifest.with_keys,
        "files": [asdict(entry) for entry in manifest.files],
        "candles": [list(item) for item in manifest.candles],
        "left_out": [list(item) for item in manifest.left_out],
    }


def _sign(body: Any, key: bytes) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hmac.digest(key, f"backup:{text}".encode(), "sha256").hex()
