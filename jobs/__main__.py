"""`./spark-submit.sh JOB [options]`: the jobs by name."""

import argparse
import difflib
import importlib
import sys
from collections.abc import Sequence

from conf.errors import ConfigurationError, PipelineError
from conf.settings import load_settings
from jobs import s3
from jobs.failures import of_machine
from jobs.session import is_given

JOBS = {
    "stream_events": "load new event files into the tables, once each, for good or --available-now",
    "set_up_notifications": "once: let S3 tell queues of new files, so that stream_events need not list them",
    "build_summaries": "make the tables of answers anew: journeys, messages, region_summary, campaigns, and more",
    "check_quality": "check every promise about the tables; exit code 1 if one is broken",
    "explain": "all that is known of one message: its journey, files, request, and the copies that were dropped",
    "maintain_tables": "put small files of the tables together and remove old ones; may run beside the stream",
    "replay_quarantine": "read quarantined records again with today's code and settings",
    "notebook": "explore journeys in JupyterLab: success rates, the funnel, flows, waits, one recipient, lists",
    "demo": "load the sample in input/ and show what came of it",
    "generate": "write made-up SES and Sailthru files of any number, with the truth of what must come out",
    "package": "write what a platform that starts Spark itself needs to run the jobs (docs/deploy.md)",
}


def main(argv: Sequence[str]) -> int:
    """Run a job; 0 done, 2 wrong use or configuration (one line says what to do), 1 failed while running."""
    try:
        return _run(list(argv))
    except PipelineError as problem:
        print(f"{problem}", file=sys.stderr)
        return problem.exit_code
    except Exception as problem:
        if (told := of_machine(problem)) is None:
            raise
        print(f"{argv[0]} failed: {told}", file=sys.stderr)
        return told.exit_code


def _run(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview())
        return 0 if argv else 2
    name = argv.pop(0)
    if name not in JOBS:
        nearest = difflib.get_close_matches(name, JOBS, n=1)
        hint = f"did you mean `{nearest[0]}`?" if nearest else f"there are: {', '.join(JOBS)}."
        raise ConfigurationError(f"No job `{name}`: {hint}")
    job = importlib.import_module(f"jobs.{name}")
    parser = argparse.ArgumentParser(prog=f"./spark-submit.sh {name}", description=JOBS[name], exit_on_error=True)
    parser.add_argument("--input", metavar="URI", help="folder with ses/ and sailthru/ in it (default: input)")
    parser.add_argument("--warehouse", metavar="URI", help="folder of the tables (default: warehouse)")
    parser.add_argument("--config", metavar="FILE", help="a YAML file, or a name in conf/ (default: local)")
    parser.add_argument("--master", metavar="URL", help="Spark's master (default: local[*])")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="any setting of conf/settings.py; repeatable",
    )
    job.add_arguments(parser)
    arguments = parser.parse_args(argv)
    if arguments.master and is_given():
        raise ConfigurationError("--master: whoever started Spark, such as spark-submit, has chosen it: give it there.")
    settings = load_settings(
        arguments.config,
        arguments.set,
        input=arguments.input,
        warehouse=arguments.warehouse,
        master=arguments.master,
    )
    s3.use(settings.s3)
    job.main(settings, arguments)
    return 0


def _overview() -> str:
    width = max(map(len, JOBS))
    jobs = "\n".join(f"  {name:<{width}}  {text}" for name, text in JOBS.items())
    usage = "usage: ./spark-submit.sh JOB [options]"
    return f"{usage}\n\njobs:\n{jobs}\n\n./spark-submit.sh JOB --help lists a job's options."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
