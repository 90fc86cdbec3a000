"""All tables, in the order of reading."""

from collections.abc import Sequence

from schemas.attribution import ATTRIBUTION
from schemas.campaign_regions import CAMPAIGN_REGIONS
from schemas.campaigns import CAMPAIGNS, campaigns
from schemas.contract import TableContract
from schemas.daily_activity import DAILY_ACTIVITY
from schemas.drift import DRIFT
from schemas.events import EVENTS
from schemas.features import Feature
from schemas.files import FILES
from schemas.freshness import FRESHNESS
from schemas.invitations import INVITATIONS
from schemas.journeys import JOURNEYS
from schemas.messages import MESSAGES
from schemas.metrics import Profile
from schemas.person_events import PERSON_EVENTS
from schemas.profile_children import PROFILE_BROWSER, PROFILE_GEO, PROFILE_LISTS, PROFILE_VARS
from schemas.profiles_history import PROFILES_HISTORY
from schemas.purchases import PURCHASES
from schemas.quality import QUALITY
from schemas.quarantine import QUARANTINE
from schemas.recipient_features import RECIPIENT_FEATURES, RECIPIENT_FEATURES_WIDE, recipient_features_wide
from schemas.recipient_totals import RECIPIENT_TOTALS
from schemas.region_summary import REGION_SUMMARY, region_summary
from schemas.requests import REQUESTS
from schemas.restatement import RESTATEMENT
from schemas.sailthru import BLASTS, PROFILE_VERSIONS, PROFILES, SAILTHRU_MESSAGES
from schemas.sessions import SESSIONS

TABLES: tuple[TableContract, ...] = (
    EVENTS,
    QUARANTINE,
    FILES,
    SAILTHRU_MESSAGES,
    BLASTS,
    PROFILES,
    PROFILE_VERSIONS,
    REQUESTS,
    MESSAGES,
    JOURNEYS,
    REGION_SUMMARY,
    CAMPAIGNS,
    CAMPAIGN_REGIONS,
    RECIPIENT_TOTALS,
    INVITATIONS,
    PURCHASES,
    PERSON_EVENTS,
    SESSIONS,
    DAILY_ACTIVITY,
    ATTRIBUTION,
    PROFILES_HISTORY,
    PROFILE_LISTS,
    PROFILE_VARS,
    PROFILE_GEO,
    PROFILE_BROWSER,
    RECIPIENT_FEATURES,
    RECIPIENT_FEATURES_WIDE,
    DRIFT,
    RESTATEMENT,
    FRESHNESS,
    QUALITY,
)


def tables_with(profile: Profile, wanted: Sequence[Feature]) -> tuple[TableContract, ...]:
    """All tables, those that carry metrics with those of the profile, those of features with the wanted ones."""
    own = {table.name: table for table in (*with_metrics(profile), recipient_features_wide(wanted))}
    return tuple(own.get(table.name, table) for table in TABLES)


def with_metrics(profile: Profile) -> tuple[TableContract, ...]:
    """The tables that carry metrics, with those of the profile."""
    return region_summary(profile), campaigns(profile)
