"""JSON text, read strictly and natively: one value, the whole value, nothing but the value (RFC 8259)."""

from collections.abc import Callable

from pyspark.sql import Column
from pyspark.sql import functions as F

STRICT_JSON = {"allowSingleQuotes": "false", "allowNonNumericNumbers": "false"}
"""Spark's readers take single quotes and NaN for JSON unless told otherwise."""

MAX_DEPTH = 64
"""Objects nested deeper are not told apart when a line holds several; parsing itself goes to Jackson's limit."""

_HIGH, _LOW = r"\\u[dD][89abAB][0-9a-fA-F]{2}", r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF_A_PAIR = rf"\G((?:[^\\]++|\\[^u]|{_HIGH}{_LOW}|\\u(?![dD][89a-fA-F]))*+)(?:{_HIGH}|{_LOW})"
"""From escape to escape, so that an escaped backslash before a `u` is told apart."""
_END = "#end of record#"
_STRING = r'"(?:[^"\\]++|\\.)*+"'


def _balanced(opening: str, closing: str) -> str:
    """A pattern for text from `opening` to its own `closing`, at most MAX_DEPTH deep, in linear time.

    Possessive throughout: Java runs such loops without recursion, so no line overflows the stack.
    """
    inner = r"(?!)"
    for _ in range(MAX_DEPTH - 1):
        inner = rf'[\[{{](?:[^{{}}\[\]"]++|{_STRING}|{inner})*+[\]}}]'
    return rf'{opening}(?:[^{{}}\[\]"]++|{_STRING}|{inner})*+{closing}'


_OBJECT = _balanced(r"\{", r"\}")
_ARRAY = _balanced(r"\[", r"\]")
_PIECE = rf'(?s){_OBJECT}|(?:[^{{\["]++|{_STRING}|{_ARRAY}|(?!{_OBJECT})["\[{{].*+)++'
"""A complete object, or all that lies before the next one. What opens and never closes takes the rest of the
line: it is looked at once, so no line makes the search quadratic."""


def value_of_key(key: Column) -> Column:
    """A pattern whose group 1 is the object that a top-level object has under `key`, as it stands there."""
    start = F.concat(F.lit('"'), key, F.lit(r'"\s*:\s*'))
    no_start = rf'\{{)(?:[^{{}}\[\]"]++|{_STRING}|{_OBJECT}|{_ARRAY}))*+'
    return F.concat(F.lit(r"(?s)^\s*\{(?:(?!"), start, F.lit(no_start), start, F.lit(f"({_OBJECT})"))


def let(value: Column, body: Callable[[Column], Column]) -> Column:
    """`body(value)` with `value` computed once, however often `body` uses it."""
    return F.get(F.transform(F.array(value), body), F.lit(0))


def fenced_object(text: Column, struct_type: str) -> Column:
    """`text` parsed so that `only_object` can tell whether it is exactly one JSON object.

    Spark's `from_json` reads the first value and forgets what follows. Read as the first element of an array
    whose second is a mark of ours, text that is no single value cannot leave exactly these two. A field of the
    wrong type is NULL and spoils no other.
    """
    fenced = F.concat(F.lit("["), text, F.lit(f',{{"fence":"{_END}"}}]'))
    return F.from_json(fenced, f"array<struct<fence:string,{struct_type}>>", STRICT_JSON)


def only_object(parsed: Column) -> Column:
    """The object that `fenced_object` found, if it was all there was; else NULL."""
    return F.when((F.size(parsed) == 2) & (F.get(parsed, F.lit(1))["fence"] == _END), F.get(parsed, F.lit(0)))


def one_object(text: Column, struct_type: str) -> Column:
    """`text` as a struct if it is exactly one JSON object, else NULL.

    Half a surrogate pair, which no UTF-8 can hold and variants refuse, becomes U+FFFD.
    """
    has_surrogates = F.contains(text, F.lit("\\ud")) | F.contains(text, F.lit("\\uD"))
    whole = F.when(has_surrogates, F.regexp_replace(text, _HALF_A_PAIR, r"$1\\ufffd")).otherwise(text)
    return let(fenced_object(whole, struct_type), only_object)


def is_one_value(text: Column) -> Column:
    """Whether `text` is exactly one JSON value of any kind; never NULL for text."""
    parsed = F.from_json(F.concat(F.lit("["), text, F.lit(f',"{_END}"]')), "array<string>", STRICT_JSON)
    return let(parsed, lambda p: F.coalesce((F.size(p) == 2) & (F.get(p, F.lit(1)) == _END), F.lit(False)))


def is_utf8(text: Column) -> Column:
    """Whether every byte of `text` is valid UTF-8: what `is_valid_utf8` says, at less cost.

    Spark's `split` goes through Java's strings, which read and write plain ASCII many bytes at a time and put U+FFFD
    in place of what is not valid; `is_valid_utf8` looks at one byte after the other.
    """
    return F.get(F.split(text, ",", 1), F.lit(0)) == text


def pieces(line: Column) -> Column:
    """Each complete top-level object of `line`, and each non-blank remainder between them, as an array.

    No byte is lost: read as ISO-8859-1 every byte is a character, so invalid UTF-8 survives the pattern.
    """
    characters = F.decode(line.cast("binary"), "ISO-8859-1")
    found = F.transform(
        F.regexp_extract_all(characters, F.lit(_PIECE), F.lit(0)),
        lambda piece: F.encode(F.trim(piece, F.lit(" \t\r\n")), "ISO-8859-1").cast("string"),
    )
    return F.filter(found, lambda piece: piece != "")
