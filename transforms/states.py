"""Tables of newest versions: which of the versions of a thing stays, whatever the order in which they come."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from schemas.contract import TableContract


def newest(versions: DataFrame, contract: TableContract) -> DataFrame:
    """One row per key of the contract, whose columns `versions` has: the version of the highest rank."""
    whole = F.struct(*[F.col(name) for name in versions.columns])
    kept = F.max_by(whole, F.struct("version", "record")).alias("kept")
    return versions.groupBy(*contract.key).agg(kept).select("kept.*")


def is_newer(new: str, known: str) -> Column:
    """Whether the version of the alias `new` outranks that of `known`; two of one rank are told apart by their text."""
    same_rank = F.col(f"{new}.version") == F.col(f"{known}.version")
    return (F.col(f"{new}.version") > F.col(f"{known}.version")) | (
        same_rank & (F.col(f"{new}.record") > F.col(f"{known}.record"))
    )
