"""All tables, in the order of reading."""

from schemas.campaign_regions import CAMPAIGN_REGIONS
from schemas.campaigns import CAMPAIGNS
from schemas.contract import TableContract
from schemas.drift import DRIFT
from schemas.events import EVENTS
from schemas.files import FILES
from schemas.freshness import FRESHNESS
from schemas.invitations import INVITATIONS
from schemas.journeys import JOURNEYS
from schemas.messages import MESSAGES
from schemas.quality import QUALITY
from schemas.quarantine import QUARANTINE
from schemas.recipient_totals import RECIPIENT_TOTALS
from schemas.region_summary import REGION_SUMMARY
from schemas.requests import REQUESTS
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
    CAMPAIGNS,
    CAMPAIGN_REGIONS,
    RECIPIENT_TOTALS,
    INVITATIONS,
    DRIFT,
    FRESHNESS,
    QUALITY,
)
