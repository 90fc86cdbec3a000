"""The S3 server of the tests and the proxy before it do what the tests that use them rely on."""

import time

import pytest
from botocore.exceptions import ClientError

from tests.s3 import DelayingProxy, S3Server

COMMIT = "table/_delta_log/00000000000000000007.json"


def test_proxy_passes_everything_on_and_counts_it(s3: S3Server) -> None:
    # given
    s3.make_bucket("passed-on")
    proxy = DelayingProxy(s3)
    large = bytes(range(256)) * 20_000
    # when
    with proxy.listening() as seen:
        client = seen.client()
        client.put_object(Bucket="passed-on", Key="a=b/é 1.bin", Body=large)
        client.put_object(Bucket="passed-on", Key="empty", Body=b"")
        read = client.get_object(Bucket="passed-on", Key="a=b/é 1.bin")["Body"].read()
        pages = list(
            client.get_paginator("list_objects_v2").paginate(Bucket="passed-on", PaginationConfig={"PageSize": 1})
        )
        client.head_object(Bucket="passed-on", Key="empty")
    # then
    assert read == large == (s3.data / "passed-on/a=b/é 1.bin").read_bytes()
    assert [[entry["Key"] for entry in page["Contents"]] for page in pages] == [["a=b/é 1.bin"], ["empty"]]
    assert dict(proxy.requests) == {
        ("PUT", "object"): 2,
        ("GET", "object"): 1,
        ("GET", "list"): 2,
        ("HEAD", "object"): 1,
    }


def test_proxy_delays_a_commit_and_loses_its_answer(s3: S3Server) -> None:
    # given
    s3.make_bucket("lost")
    proxy = DelayingProxy(s3, delay_ms=150, lost_every=1)
    began = time.monotonic()
    # when: boto3 asks again, as no answer came
    with (
        proxy.listening() as seen,
        pytest.raises(ClientError, match="PreconditionFailed"),
    ):
        seen.client().put_object(Bucket="lost", Key=COMMIT, Body=b"mine", IfNoneMatch="*")
    # then
    assert time.monotonic() - began >= 2 * 0.15
    assert s3.client().get_object(Bucket="lost", Key=COMMIT)["Body"].read() == b"mine"
    assert (proxy.requests["PUT", "commit"], proxy.commits, proxy.answers_lost, proxy.refused) == (2, 1, 1, 1)
