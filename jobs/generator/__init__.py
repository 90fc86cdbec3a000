"""Made-up files of Amazon SES, Sailthru, purchases and the team's own requests, with the truth of what must come out.

Nothing here uses the product's own transforms: the truth is what the generator knows because it made it.
"""

from jobs.generator.forms import Forms
from jobs.generator.purchases import PurchasesTruth, PurchaseTruth, generate_purchases, write_purchases_truth
from jobs.generator.requests import RequestsTruth, RequestTruth, generate_requests, write_requests_truth
from jobs.generator.sailthru import SailthruEventTruth, SailthruTruth, generate_sailthru, write_sailthru_truth
from jobs.generator.sample import write_sample
from jobs.generator.ses import generate_ses
from jobs.generator.truth import EventTruth, FileTruth, QuarantineTruth, Truth, read_truth, write_truth

__all__ = [
    "EventTruth",
    "FileTruth",
    "Forms",
    "PurchaseTruth",
    "PurchasesTruth",
    "QuarantineTruth",
    "RequestTruth",
    "RequestsTruth",
    "SailthruEventTruth",
    "SailthruTruth",
    "Truth",
    "generate_purchases",
    "generate_requests",
    "generate_sailthru",
    "generate_ses",
    "read_truth",
    "write_purchases_truth",
    "write_requests_truth",
    "write_sailthru_truth",
    "write_sample",
    "write_truth",
]
