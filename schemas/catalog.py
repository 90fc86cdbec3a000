"""All tables, in the order of reading."""

from schemas.contract import TableContract
from schemas.drift import DRIFT
from schemas.events import EVENTS
from schemas.files import FILES
from schemas.freshness import FRESHNESS
from schemas.journeys import JOURNEYS
from schemas.messages import MESSAGES
from schemas.metrics import Profile
from schemas.quality import QUALITY
from schemas.quarantine import QUARANTINE
from schemas.region_summary import REGION_SUMMARY, region_summary
from schemas.requests import REQUESTS
from schemas.restatement import RESTATEMENT
from schemas.sailthru import BLASTS, PROFILES, SAILTHRU_MESSAGES

TABLES: tuple[TableContract, ...] = (
    EVENTS,
    QUARANTINE,
    FILES,
    SAILTHRU_MESSAGES,
    BLASTS,
    PROFILES,
    REQUESTS,
    MESSAGES,
    JOURNEYS,
    REGION_SUMMARY,
    DRIFT,
    RESTATEMENT,
    FRESHNESS,
    QUALITY,
)


def tables_with(profile: Profile) -> tuple[TableContract, ...]:
    """All tables, those that carry metrics with those of the profile."""
    return tuple(region_summary(profile) if table is REGION_SUMMARY else table for table in TABLES)
