"""What Spark keeps of a stream beside the warehouse, and whether it still belongs to the tables there.

The tables know by themselves what was loaded, so the remedy for every checkpoint that does not fit is the same: remove
it. One that is used all the same could leave out files without a word: its batches count as done.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from conf.errors import ConfigurationError
from jobs.storage import Location


@dataclass(frozen=True)
class Checkpoint:
    """A query's checkpoint as it lies on disk; batches are numbered from 0, and -1 stands for none."""

    folder: Location
    id: str
    """The id Spark gave it when it was made."""
    planned: int
    """The newest batch whose files Spark has written down."""
    committed: int
    """The newest batch that Spark counts as done."""


def read_checkpoint(folder: Location) -> Checkpoint | None:
    """The checkpoint in the folder, None if there is none yet; one that is damaged is refused."""
    metadata = folder / "metadata"
    if not metadata.exists():
        if newest_number(folder / "offsets") >= 0:
            raise _refused(folder, f"lacks its file {metadata.name}")
        return None
    try:
        found = str(json.loads(metadata.read_text())["id"])
    except (ValueError, KeyError, TypeError):
        raise _refused(folder, f"has a damaged file {metadata.name}") from None
    return Checkpoint(folder, found, _newest_whole(folder, "offsets"), _newest_whole(folder, "commits"))


def newest_number(log: Location) -> int:
    """The highest batch that one of Spark's logs of a checkpoint has a file of; -1 if none."""
    names = [path.name for path in log.iterdir()] if log.is_dir() else []
    return max((int(name) for name in names if name.isdigit()), default=-1)


def check_fits(checkpoint: Checkpoint | None, committed_by_table: Mapping[str, int], warehouse: Location) -> None:
    """Refuse a checkpoint whose batches are not those that the tables have committed under its id.

    `committed_by_table` gives the newest batch of this checkpoint that each table has; `files` gets a row of every
    batch, last of all.
    """
    if checkpoint is None:
        return
    in_ledger = committed_by_table.get("files", -1)
    if checkpoint.committed > in_ledger:
        raise _refused(
            checkpoint.folder,
            f"counts batch {checkpoint.committed} as done, which the table `files` of {warehouse} does not know (it "
            "is another warehouse's, or the table was made anew)",
        )
    if (newest := max(committed_by_table.values(), default=-1)) > checkpoint.planned:
        raise _refused(
            checkpoint.folder, f"has lost batch {newest}, which {warehouse} holds (it is older than the tables)"
        )


def _newest_whole(folder: Location, log: str) -> int:
    newest = newest_number(folder / log)
    if newest >= 0:
        lines = (folder / log / str(newest)).read_text(errors="replace").split("\n")
        try:
            whole = lines[0].startswith("v") and all(json.loads(line) is not None for line in lines[1:] or [""])
        except ValueError:
            whole = False
        if not whole:
            raise _refused(folder, f"has a damaged file {log}/{newest}")
    return newest


def _refused(folder: Location, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"The checkpoint {folder} {why}. Remove that folder and start again: what was loaded is known from the tables, "
        "and nothing is loaded twice."
    )
