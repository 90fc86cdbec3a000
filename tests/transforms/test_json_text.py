"""Lines are cut where the design says, and JSON is JSON by the letter."""

import random

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from transforms.json_text import is_one_value, is_utf8, one_object, pieces

LINES = [
    pytest.param('{"a":1}{"b":"}{"} {"c":{"d":{}}}', ['{"a":1}', '{"b":"}{"}', '{"c":{"d":{}}}'], id="joined"),
    pytest.param('{"a":1} xx {"b":2}', ['{"a":1}', "xx", '{"b":2}'], id="remainder-between"),
    pytest.param('{"a":1},{"b":2}', ['{"a":1}', ",", '{"b":2}'], id="comma-between"),
    pytest.param('{"a":1}}', ['{"a":1}', "}"], id="stray-brace"),
    pytest.param('{"b":1}{"a":{"x":1}{"y":2}', ['{"b":1}', '{"a":{"x":1}{"y":2}'], id="never-closes-takes-the-rest"),
    pytest.param('{"a":"\\"}{\\""}{"b":1}', ['{"a":"\\"}{\\""}', '{"b":1}'], id="escaped-quotes"),
    pytest.param('[{"a":1},{"b":2}]', ['[{"a":1},{"b":2}]'], id="array-is-one"),
    pytest.param('"{}{}"', ['"{}{}"'], id="text-is-one"),
    pytest.param("no json", ["no json"], id="garbage"),
    pytest.param("{" * 5000, ["{" * 5000], id="deep-and-open"),
    pytest.param('"\\' * 200_000, ['"\\' * 200_000], id="long-and-never-closing"),
]


def test_a_line_is_cut_into_objects_and_remainders(spark: SparkSession) -> None:
    lines = [(i, str(case.values[0])) for i, case in enumerate(LINES)]
    rows = spark.createDataFrame(lines, "i int, line string").select("i", pieces(F.col("line")).alias("p"))
    assert {r.i: r.p for r in rows.collect()} == {i: case.values[1] for i, case in enumerate(LINES)}


def test_only_exactly_one_object_is_an_object(spark: SparkSession) -> None:
    texts = [
        '{"a":1}',
        ' {"a":1} ',
        '{"a":1} x',
        '{"a":1}{"a":2}',
        "{'a':1}",
        '{"a":NaN}',
        "[1]",
        "null",
        '{"a":1',
        "",
    ]
    rows = spark.createDataFrame([(t,) for t in texts], "t string").select(
        "t",
        one_object(F.col("t"), "a:string").isNotNull().alias("is_object"),
        is_one_value(F.col("t")).alias("is_one"),
    )
    found = {r.t: (r.is_object, r.is_one) for r in rows.collect()}
    objects = {'{"a":1}', ' {"a":1} '}
    assert found == {t: (t in objects, t in objects or t in ("[1]", "null")) for t in texts}


def test_utf8_is_what_utf8_is_to_python(spark: SparkSession) -> None:
    """Also where encodings go wrong: overlong, half a surrogate pair, beyond U+10FFFF, cut short, U+FFFD itself."""
    known = [b"", b",", b"a,b,,", b"\x00", "é€😀\ufffd\ufeff".encode(), b"\xc0\x80", b"\xe0\x80\x80", b"\xed\xa0\x80"]
    known += [b"\xf4\x90\x80\x80", b"\xf0\x9f\x98", b"\x80", b"a\xff", b"\xf5\x80\x80\x80", b"\xed\xb0\x80,"]
    chance = random.Random(7)
    starts = [
        b"\xc3",
        b"\xe2\x82",
        b"\xf0\x9f\x98",
        b"\xa9",
        b"\xac",
        b"\x80",
        b"\xed",
        b"\xf4",
        b"a",
        b",",
        "é".encode(),
    ]
    texts = [*known, *(b"".join(chance.choices(starts, k=chance.randint(1, 4))) for _ in range(5000))]
    rows = spark.createDataFrame([(bytearray(t),) for t in texts], "bytes binary")
    found = rows.select("bytes", is_utf8(F.col("bytes").cast("string")).alias("is_utf8")).collect()
    assert {bytes(r.bytes): r.is_utf8 for r in found} == {t: _is_utf8(t) for t in texts}


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
