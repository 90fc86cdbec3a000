"""By which code and settings a table was made: made by others, it is made anew."""

import hashlib
import json
from importlib import resources

_PACKAGES = ("schemas", "transforms")
"""All that decides what a row says; `jobs` only moves rows."""


def made_by(settings: object) -> str:
    """A hash of the code of the transforms and contracts, and of settings, given as plain data."""
    found = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for package in _PACKAGES:
        for file in sorted(resources.files(package).iterdir(), key=lambda file: file.name):
            if file.name.endswith(".py"):
                found.update(file.read_bytes())
    return found.hexdigest()
