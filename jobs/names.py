"""Names that a user gives on the command line, in one text."""

import difflib
from collections.abc import Collection

from conf.errors import ConfigurationError


def named(only: str | None, known: Collection[str], kind: str) -> Collection[str]:
    """Those that `--only a,b` names, all if nothing is said; one that is not `known` is refused."""
    if only is None:
        return known
    names = [name.strip() for name in only.split(",") if name.strip()]
    for name in names or [only]:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean `{nearest[0]}`?" if nearest else f"there are: {', '.join(known)}."
            raise ConfigurationError(f"--only: no {kind} `{name}`: {hint}")
    return names
