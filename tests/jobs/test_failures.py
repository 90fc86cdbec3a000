"""What is done again after a failure, and what is not."""

import pytest

from jobs.failures import again_if_lost

LOST = RuntimeError("Task 3 failed: [CHECKPOINT_RDD_BLOCK_ID_NOT_FOUND] Checkpoint block rdd_7_1 not found!")


class Work:
    """Fails as often as there are problems, then gives 7."""

    def __init__(self, *problems: Exception) -> None:
        self.problems, self.calls = list(problems), 0

    def __call__(self) -> int:
        self.calls += 1
        if self.problems:
            raise self.problems.pop(0)
        return 7


def test_work_is_done_again_if_rows_were_lost(capsys: pytest.CaptureFixture[str]) -> None:
    work = Work(LOST, LOST)
    assert again_if_lost(work, "ses batch 4") == 7
    assert capsys.readouterr().err.count("ses batch 4: an executor was lost") == 2


@pytest.mark.parametrize(
    ("problems", "calls"),
    [
        pytest.param([ValueError("ours")], 1, id="another-failure"),
        pytest.param([LOST] * 4, 4, id="lost-each-time"),
    ],
)
def test_work_is_not_done_again_for_ever_or_for_other_reasons(problems: list[Exception], calls: int) -> None:
    work = Work(*problems)
    with pytest.raises(type(problems[-1])):
        again_if_lost(work, "work")
    assert work.calls == calls
