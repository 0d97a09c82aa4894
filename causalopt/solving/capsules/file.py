"""The file of a capsule: a zip archive with `capsule.json`, and one `.npy` member per array.

`numpy.load` reads the arrays; nothing is pickled. The JSON lists the SHA-256 checksum of every array, and its own: they
find damage, and are no signature. Members carry no times, so that the same capsule always has the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from causalopt.errors import DataError

#: Version of the file's layout; a reader takes its own and older ones.
SCHEMA = 1

FORMAT = "causalopt capsule"
DESCRIPTION = "capsule.json"

#: What Python's zip reader raises for damaged files.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)


def pack(description: Mapping[str, Any], arrays: Mapping[str, Any]) -> bytes:
    """Return the content of a file that holds a description and arrays."""
    members = {f"{name}.npy": _npy(array) for name, array in arrays.items()}
    full: dict[str, Any] = {"format": FORMAT, "schema": SCHEMA, **description}
    full["arrays"] = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    full["checksum"] = checksum(full)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in [(DESCRIPTION, as_json(full).encode()), *members.items()]:
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def as_json(description: Mapping[str, Any]) -> str:
    """Return a description as text."""
    return json.dumps(description, indent=1, sort_keys=True, allow_nan=False)


def checksum(description: Mapping[str, Any]) -> str:
    """Return the checksum of a description, but for the one in it."""
    content = {name: value for name, value in description.items() if name != "checksum"}
    return hashlib.sha256(as_json(content).encode()).hexdigest()


def unpack(content: bytes, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the description and the arrays of a file.

    Raises
    ------
    DataError
        For a file that is not a capsule, cut short, changed since it was written, or of a newer schema.
    """
    if not content.startswith(b"PK"):
        raise DataError(f"{name} is not a capsule: 'Capsule.save' or --capsule writes them.")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            if DESCRIPTION not in names:
                raise DataError(f"{name} is not a capsule: it is a zip file without {DESCRIPTION}.")
            members = {member: archive.read(member) for member in names}
    except _DAMAGE as error:
        raise DataError(f"{name} is damaged or cut short ({error}): copy it again from where it was made.") from None
    try:
        description = json.loads(members.pop(DESCRIPTION))
        is_capsule = description["format"] == FORMAT
        schema = int(description["schema"])
    except (ValueError, KeyError, TypeError):
        is_capsule, schema = False, 0
    if not is_capsule:
        raise DataError(f"{name} is not a capsule: its {DESCRIPTION} says nothing of one.")
    if schema > SCHEMA:
        made_by = description.get("platform", {}).get("causalopt", "?")
        raise DataError(
            f"{name} has schema {schema}, of a newer causalopt ({made_by}); this one reads up to {SCHEMA}: upgrade it."
        )
    _refuse_changes(description, members, name)
    try:
        return description, {
            key.removesuffix(".npy"): np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
            for key, data in members.items()
        }
    except ValueError as error:
        raise DataError(f"{name} is not a capsule of schema {SCHEMA}: ValueError: {error}.") from None


def _refuse_changes(description: dict[str, Any], members: dict[str, bytes], name: str) -> None:
    """Raise `DataError` unless all arrays are there and as they were written."""
    wanted = description.get("arrays", {})
    damaged = [key for key, digest in wanted.items() if hashlib.sha256(members.get(key, b"")).hexdigest() != digest]
    if checksum(description) != description.get("checksum"):
        damaged.insert(0, DESCRIPTION)
    if damaged or set(members) != set(wanted):
        what = ", ".join(damaged or sorted(set(members) ^ set(wanted)))
        raise DataError(f"{name} was changed or damaged after it was written: {what} does not match its checksum.")
