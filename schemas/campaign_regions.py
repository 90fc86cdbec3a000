"""`campaign_regions`: how many people of which region a campaign was sent to."""

from pyspark.sql.types import StructType

from schemas.campaigns import CAMPAIGN_KEY, campaign_key
from schemas.contract import TableContract, count
from schemas.region_summary import REGION

CAMPAIGN_REGIONS = TableContract(
    name="campaign_regions",
    grain="one region of one campaign",
    key=(*CAMPAIGN_KEY, "region"),
    written_by=("build_summaries",),
    statistics=("region",),
    schema=StructType(
        [
            *campaign_key(),
            REGION,
            count("requests", "Requests of its messages, unique by message and recipient."),
            count("messages", "Messages of which there is an event. One asked for in two regions counts in both."),
            count(
                "recipients",
                "Distinct recipients that events of its messages name: each in the region of the request for that "
                "message and recipient, or, where no request names the recipient, in every region of the message.",
            ),
        ]
    ),
)
