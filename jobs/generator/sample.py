"""The small committed sample under `input/`."""

import shutil
from datetime import UTC, date, datetime
from pathlib import Path

from jobs.generator.forms import Forms
from jobs.generator.purchases import PurchasesTruth, generate_purchases
from jobs.generator.requests import RequestsTruth, generate_requests
from jobs.generator.sailthru import SailthruTruth, generate_sailthru
from jobs.generator.ses import generate_ses
from jobs.generator.truth import Truth

SES_SEED, SEED = 96, 20251336
"""Chosen: every form and class shows, a bounce after delivery and a suppressed address too, with rates by region near
those of many more events."""
FIRST_DAY, DAYS = date(2025, 10, 20), 5  # Monday to Friday, the same ones for both providers
SAMPLE_FORMS = Forms(
    unknown_class=0.015,
    broken=0.045,
    control=0.012,
    too_large=0,
    gz=0.35,
    gz_members=0,
    gz_named_json=0.15,
    plain_named_gz=0.15,
    cut_off=0.12,
    crlf=0.15,
    bom=0.15,
    odd_names=0,
    odd_files=0.01,
    odd_file_kinds=("zero_bytes", "blank_lines_only", "hidden_underscore", "zip"),
)


def write_sample(input_dir: Path) -> tuple[Truth, SailthruTruth, RequestsTruth, PurchasesTruth]:
    """Replace `ses`, `sailthru`, `requests` and `purchases` in `input_dir` by the made-up sample.

    Returned is what must come out of each. Names are fit for any file system, and nothing depends on modification
    times, which git does not keep.
    """
    for folder in ("ses", "sailthru", "requests", "purchases"):
        shutil.rmtree(input_dir / folder, ignore_errors=True)
    start = datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=UTC)
    ses = generate_ses(
        input_dir, events=1000, seed=SES_SEED, forms=SAMPLE_FORMS, start=start, days=DAYS, events_per_file=150
    )
    sailthru = generate_sailthru(
        input_dir, messages=250, seed=SEED, start=FIRST_DAY, days=DAYS, update_days=3, profiles=60
    )
    requests = generate_requests(input_dir, ses, sailthru, seed=SEED)
    return ses, sailthru, requests, generate_purchases(input_dir, sailthru, seed=SEED)
