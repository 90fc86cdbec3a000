"""`generate`: made-up SES and Sailthru files of any number, with requests, purchases, and their truth."""

import argparse
from pathlib import Path

from conf.errors import ConfigurationError
from conf.settings import Settings
from jobs.generator import (
    Forms,
    generate_purchases,
    generate_requests,
    generate_sailthru,
    generate_ses,
    write_purchases_truth,
    write_requests_truth,
    write_sailthru_truth,
    write_truth,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this job."""
    parser.add_argument(
        "--output",
        metavar="FOLDER",
        required=True,
        help="where to write ses/, sailthru/, requests/, purchases/ and truth/; must be empty",
    )
    parser.add_argument("--events", type=int, default=10_000, help="number of distinct SES events (default: 10000)")
    parser.add_argument(
        "--messages", type=int, default=1000, help="number of Sailthru messages over 14 days (default: 1000)"
    )
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same files (default: 1)")
    parser.add_argument("--plain", action="store_true", help="ordinary files only: nothing wrapped, broken or twice")


def main(settings: Settings, arguments: argparse.Namespace) -> None:
    """Write the files to folders of `<output>`, and what must come of them to `<output>/truth`."""
    output = Path(arguments.output).absolute()
    if output.exists() and any(output.iterdir()):
        raise ConfigurationError(f"--output {output} is not empty: name a new folder.")
    forms = Forms.plain() if arguments.plain else Forms()
    ses = generate_ses(output, events=arguments.events, seed=arguments.seed, forms=forms)
    write_truth(ses, output / "truth" / "ses")
    sailthru = generate_sailthru(output, messages=arguments.messages, seed=arguments.seed, odd=not arguments.plain)
    write_sailthru_truth(sailthru, output / "truth" / "sailthru")
    requests = generate_requests(output, ses, sailthru, seed=arguments.seed, odd=not arguments.plain)
    write_requests_truth(requests, output / "truth" / "requests")
    purchases = generate_purchases(output, sailthru, seed=arguments.seed, odd=not arguments.plain)
    write_purchases_truth(purchases, output / "truth" / "purchases")
    for provider, truth in (("ses", ses), ("sailthru", sailthru)):
        print(f"{len(truth.events):,} events in {len(truth.files):,} files below {output / provider}")
    print(f"{len(requests.requests):,} requests below {output / 'requests'}")
    print(f"{len(purchases.purchases):,} purchases, refunds and carts below {output / 'purchases'} and in profiles")
    print(f"What must come of them is in {output / 'truth'}.")
