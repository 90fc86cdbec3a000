"""What becomes of files that are loaded: moved to another place, or tagged, so that a listing stays short."""

from collections.abc import Collection
from pathlib import Path

from botocore.exceptions import ClientError

from conf.errors import ConfigurationError
from jobs import s3
from jobs.s3 import S3Path
from jobs.storage import FoundFile, Location, each, is_still_there, location, place_of

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
        if not is_still_there(file):
            return
        place = place_of(file.uri)
        if self.to is None:
            assert isinstance(place, S3Path)
            _tag(place)
        elif isinstance(place, S3Path):
            assert isinstance(self.to, S3Path)
            _move_object(place, self.to / file.uri.removeprefix(f"{self.root}/"))
        else:
            assert isinstance(self.to, Path)
            target = self.to / place.relative_to(str(self.root))
            target.parent.mkdir(parents=True, exist_ok=True)
            place.rename(target)


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


def _move_object(place: S3Path, target: S3Path) -> None:
    found = place.head()
    if found is None:
        return
    source = {"Bucket": place.bucket, "Key": place.key}
    try:  # a version that came meanwhile is not the one that was loaded: it stays
        s3.client().copy(source, target.bucket, target.key, ExtraArgs={"CopySourceIfMatch": found["ETag"]})
        s3.client().delete_object(**source, IfMatch=found["ETag"])
    except ClientError as problem:
        if not s3.is_refused_condition(problem) and not s3.is_absence(problem):
            raise
