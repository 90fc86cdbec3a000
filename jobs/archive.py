"""What becomes of files that are loaded: moved to another place, or tagged, so that a listing stays short."""

from collections.abc import Collection
from pathlib import Path

from botocore.exceptions import ClientError

from conf.errors import ConfigurationError
from jobs import s3
from jobs.s3 import S3Path
from jobs.storage import FoundFile, Location, each, is_still_there, location, of_head, place_of, version_of

TAG = ("email-events", "loaded")
"""Key and value of the tag, for a rule of the bucket that lets objects expire."""


class Archive:
    """Moves files from below `root` to below `to`, or without `to` tags them; other versions stay as they are."""

    def __init__(self, root: Location, to: Location | None) -> None:
        self.root, self.to = root, to

    def take(self, files: Collection[FoundFile]) -> None:
        """Put away files that are in the ledger; those that are away already are left out."""
        each(self._take, files)

    def _take(self, file: FoundFile) -> None:
        place = place_of(file.uri)
        if self.to is None:
            assert isinstance(place, S3Path)
            if is_still_there(file):
                _tag(place)
        elif isinstance(place, S3Path):
            assert isinstance(self.to, S3Path)
            _move_object(file, place, self.to / file.uri.removeprefix(f"{self.root}/"))
        else:
            assert isinstance(self.to, Path)
            _move_file(file, place, self.to / place.relative_to(str(self.root)))


def archive_of(how: str, to: str, root: Location) -> Archive | None:
    """The archive that the settings `discovery.archive` and `archive_to` ask for; None if files stay where they are.

    Raises ConfigurationError where files below `root` would be found again in it, or cannot be put there.
    """
    if not how:
        return None
    if how == "tag":
        if isinstance(root, Path):
            raise ConfigurationError(f"discovery.archive=tag: {root} is no folder of S3, whose files bear no tags.")
        return Archive(root, None)
    place = location(to)
    if type(place) is not type(root):
        raise ConfigurationError(f"discovery.archive_to: {place} must be where {root} is, on this machine or in S3.")
    if f"{place}/".startswith(f"{root}/"):
        raise ConfigurationError(f"discovery.archive_to: {place} lies in {root}, where files would be found again.")
    return Archive(root, place / root.name)


def _tag(place: S3Path) -> None:
    key, value = TAG
    named = {"Bucket": place.bucket, "Key": place.key}
    tags = [tag for tag in s3.client().get_object_tagging(**named)["TagSet"] if tag["Key"] != key]
    s3.client().put_object_tagging(**named, Tagging={"TagSet": [*tags, {"Key": key, "Value": value}]})


def _move_file(file: FoundFile, place: Path, target: Path) -> None:
    if not is_still_there(file):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    place.rename(target)
    moved = version_of(target)
    if moved is not None and (moved.modified_micros, moved.length) != (file.modified_micros, file.length):
        target.rename(place)  # it came between the look and the move, and is not loaded yet


def _move_object(file: FoundFile, place: S3Path, target: S3Path) -> None:
    head = place.head()
    if head is None or of_head(place, head).key != file.key:
        return
    source = {"Bucket": place.bucket, "Key": place.key}
    try:  # a version that came meanwhile is not the one that was loaded: it stays
        s3.client().copy(source, target.bucket, target.key, ExtraArgs={"CopySourceIfMatch": head["ETag"]})
        s3.client().delete_object(**source, IfMatch=head["ETag"])
    except ClientError as problem:
        if not s3.is_refused_condition(problem) and not s3.is_absence(problem):
            raise
