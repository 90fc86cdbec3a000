"""The small committed sample under `input/`."""

import shutil
from datetime import date
from pathlib import Path

from jobs.generator.forms import Forms
from jobs.generator.sailthru import SailthruTruth, generate_sailthru
from jobs.generator.ses import generate_ses
from jobs.generator.truth import Truth

SAMPLE_FORMS = Forms(
    unknown_class=0.05,
    broken=0.13,
    control=0.02,
    joined=0.05,
    too_large=0,
    gz=0.15,
    gz_members=0,
    cut_off=0.08,
    odd_names=0,
    odd_files=0.01,
    odd_file_kinds=("zero_bytes", "blank_lines_only", "hidden_underscore", "zip"),
)


def write_sample(input_dir: Path) -> tuple[Truth, SailthruTruth]:
    """Replace `ses` and `sailthru` in `input_dir` by the made-up sample, and return what must come out of each.

    Names are fit for any file system, and nothing depends on modification times, which git does not keep.
    """
    for provider in ("ses", "sailthru"):
        shutil.rmtree(input_dir / provider, ignore_errors=True)
    ses = generate_ses(input_dir, events=300, seed=20251126, forms=SAMPLE_FORMS, days=2, events_per_file=30)
    sailthru = generate_sailthru(
        input_dir, messages=150, seed=20251126, start=date(2025, 10, 20), days=3, update_days=3, profiles=45
    )
    return ses, sailthru
