"""`generate`: made-up SES event files of any number and shape, for trying things out, with their truth."""

import argparse
from pathlib import Path

from conf.errors import ConfigurationError
from conf.settings import Settings
from jobs.generator import Forms, generate_ses, write_truth


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this job."""
    parser.add_argument(
        "--output", metavar="FOLDER", required=True, help="where to write ses/ and truth/; must be empty"
    )
    parser.add_argument("--events", type=int, default=10_000, help="number of distinct events (default: 10000)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same files (default: 1)")
    parser.add_argument("--plain", action="store_true", help="ordinary files only: nothing wrapped, broken or twice")


def main(settings: Settings, arguments: argparse.Namespace) -> None:
    """Write the files to `<output>/ses`, and what must come of them to `<output>/truth`."""
    output = Path(arguments.output).absolute()
    if output.exists() and any(output.iterdir()):
        raise ConfigurationError(f"--output {output} is not empty: name a new folder.")
    forms = Forms.plain() if arguments.plain else Forms()
    truth = generate_ses(output, events=arguments.events, seed=arguments.seed, forms=forms)
    write_truth(truth, output / "truth")
    print(f"{len(truth.events):,} events in {len(truth.files):,} files below {output / 'ses'}; the truth is in truth/.")
