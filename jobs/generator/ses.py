"""Generate any number of Amazon SES event files of every shape, with the truth of what must come out."""

import heapq
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from jobs.generator import wrappers
from jobs.generator.broken import CONTROL, GLUED, Broken, Line, breakable, broken_line, control_text, glued
from jobs.generator.files import Chances, FileWriter
from jobs.generator.forms import WRAPPERS, Forms
from jobs.generator.history import DAY, EPOCH, SECOND, UNKNOWN, Event, History, dumps
from jobs.generator.shapes import shaped_text
from jobs.generator.truth import Truth

MIB = 1024 * 1024
LEAST_RECORD_LIMIT = 64 * 1024  # room for every record that is not meant to be too large
WAITING_LIMIT = 20_000  # events in memory that have not arrived yet
FIRST_START = datetime(2025, 10, 20, tzinfo=UTC)
EXTRA_COPIES = (1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 5, 8)
Waiting = tuple[int, int, Event, bool]


def generate_ses(
    output: Path,
    *,
    events: int,
    seed: int = 1,
    forms: Forms | None = None,
    start: datetime = FIRST_START,
    days: int = 7,
    events_per_file: int = 5000,
    max_record_bytes: int = 4 * MIB,
) -> Truth:
    """Write event files below `output/ses/`, and return what must come out of them.

    `events` distinct events; sends spread over `days` from `start`, what follows them comes up to some days
    later. The same arguments give the same bytes. `events_per_file` counts records, whatever they are.
    """
    if events < 0 or days < 1 or events_per_file < 1:
        raise ValueError(
            f"Wanted events >= 0, days >= 1, events_per_file >= 1; found {events}, {days}, {events_per_file}."
        )
    if max_record_bytes < LEAST_RECORD_LIMIT:
        raise ValueError(f"max_record_bytes is {max_record_bytes}, but must be at least {LEAST_RECORD_LIMIT}.")
    if start.tzinfo is None:
        raise ValueError(f"start is {start}, which names no zone; give one, for example UTC.")
    forms = Forms() if forms is None else forms
    micros = int((start - EPOCH).total_seconds()) * SECOND
    history = History(
        Random(f"history {seed}"), events, micros, days, forms.without_body, forms.unknown_class, forms.lost
    )
    delivery = _Delivery(output, events, seed, forms, events_per_file, max_record_bytes)
    return delivery.of(history)


class _Rota:
    """Takes kinds in turn, in seeded order, so that few records still show every kind."""

    def __init__(self, kinds: tuple[str, ...], rng: Random) -> None:
        self._kinds, self._next = list(kinds), 0
        rng.shuffle(self._kinds)

    def take(self) -> str:
        self._next += 1
        return self._kinds[(self._next - 1) % len(self._kinds)]


class _Delivery:
    """Delivers a history: which event arrives when, how often, and in what form."""

    def __init__(
        self, output: Path, events: int, seed: int, forms: Forms, events_per_file: int, max_record_bytes: int
    ) -> None:
        self.rng = rng = Random(f"delivery {seed}")
        self.forms, self.events, self.max_record_bytes = forms, events, max_record_bytes
        self.truth = Truth()
        self.seen: Counter[str] = Counter()
        self.writer = FileWriter(output, self.truth, forms, events_per_file, rng, self.seen, Chances(rng, self.seen))
        self.waiting: list[Waiting] = []
        self.number = 0
        self.broken_kinds = _Rota(forms.broken_kinds, rng)
        self.control_kinds = _Rota(forms.control_kinds, rng)
        self.wrapper_kinds = _Rota(forms.wrappers, rng)
        self.shape_kinds = _Rota(forms.shapes, rng)
        self.joining: list[Line] = []
        self.joining_until = 0
        self.elements: list[Line] = []
        self.dump_until = 0
        self.glue: str | None = None
        self.large_every = events // (forms.too_large + 1) if forms.too_large else 0
        self.large_left = forms.too_large
        self.delivered = 0

    def of(self, history: History) -> Truth:
        forms = self.forms
        for at, event, again in self._arrivals(history):
            line = self._line(event, at, again)
            if line is not None:
                self._add(line, event, at)
            if again:
                continue
            self.delivered += 1
            if forms.broken and forms.broken_kinds and self.rng.random() < forms.broken:
                self._add_broken(event, at)
            if forms.control and forms.control_kinds and self.rng.random() < forms.control:
                self._add_control(at)
            if self.large_left and self.delivered >= self.large_every:
                self._add_large(event, at)
        self._finish()
        if history.events_lost:
            self.seen["lost"] = history.events_lost
        self.truth.forms = dict(sorted(self.seen.items()))
        return self.truth

    def _arrivals(self, history: History) -> Iterator[tuple[int, Event, bool]]:
        """Events in about the order in which they would arrive, with their repetitions."""
        for lifecycle in history.messages():
            now = lifecycle[0].message.sent_at
            for event in lifecycle:
                self.truth.events.append(event.truth)
                self._wait(event.truth.event_time + SECOND, event, again=False)
            while self.waiting and (self.waiting[0][0] <= now or len(self.waiting) > WAITING_LIMIT):
                yield self._arrive()
        while self.waiting:
            yield self._arrive()

    def _wait(self, at: int, event: Event, *, again: bool) -> None:
        self.number += 1
        heapq.heappush(self.waiting, (at, self.number, event, again))

    def _arrive(self) -> tuple[int, Event, bool]:
        at, _, event, again = heapq.heappop(self.waiting)
        if not again and self.forms.duplicates and self.rng.random() < self.forms.duplicates:
            for _ in range(self.rng.choice(EXTRA_COPIES)):
                soon = self.rng.random() < 0.5
                after = self.rng.randrange(10 * SECOND if soon else DAY)
                self._wait(at + after, event, again=True)
            self.seen["duplicates"] += 1
        return at, event, again

    def _line(self, event: Event, at: int, again: bool) -> Line | None:
        """The event as one line; None if it went into a dump of several records that is not full yet."""
        forms, rng = self.forms, self.rng
        wrapper = None
        if forms.wrappers and forms.wrapped and rng.random() < (max(forms.wrapped, 0.5) if again else forms.wrapped):
            wrapper = self.wrapper_kinds.take()
        text = self._text(event, again)
        if event.missing:
            self.seen[f"without_{event.missing}"] += 1
        if event.kind.event_class == UNKNOWN:
            self.seen["unknown_class"] += 1
        if wrapper is None:
            return text.encode(), (event.truth,)
        self.seen[f"wrapper_{wrapper}"] += 1
        detail_type = event.kind.detail_type
        match wrapper:
            case "sns":
                text = dumps(wrappers.sns(text, at, rng))
            case "eventbridge":
                text = wrappers.eventbridge(text, detail_type, at, rng)
            case "eventbridge_untyped":
                text = wrappers.eventbridge(wrappers.without_event_type(text, event), detail_type, at, rng)
            case "sns_eventbridge":
                inner = wrappers.eventbridge(text, detail_type, at, rng)
                text = dumps(wrappers.sns(inner, at, rng))
            case "firehose_error":
                text = wrappers.firehose_error(text.encode() + rng.choice((b"", b"\n")), at, rng)
            case "lambda":
                return self._dump((wrappers.lambda_element(text, at, rng).encode(), (event.truth,)))
            case "sqs":
                if rng.random() < 0.6:
                    text = dumps(wrappers.sns(text, at, rng))
                return self._dump((wrappers.sqs_element(text, at, rng).encode(), (event.truth,)))
            case _:
                raise ValueError(f"Unknown wrapper {wrapper!r}; known are {WRAPPERS}.")
        return text.encode(), (event.truth,)

    def _text(self, event: Event, again: bool) -> str:
        forms, rng = self.forms, self.rng
        reshaped = (
            forms.shapes and forms.reshaped and rng.random() < (max(forms.reshaped, 0.6) if again else forms.reshaped)
        )
        if not reshaped:
            return event.as_text()
        wanted = {self.shape_kinds.take(), *(rng.choice(forms.shapes) for _ in range(rng.randrange(4)))}
        text, used = shaped_text(event, wanted, rng)
        for name in used:
            self.seen[f"shape_{name}"] += 1
        return text

    def _dump(self, element: Line) -> Line | None:
        """Collect elements under one `Records`; the line once there are enough of them."""
        if not self.elements:
            self.dump_until = self.rng.randint(1, 4)
        self.elements.append(element)
        return self._close_dump() if len(self.elements) >= self.dump_until else None

    def _close_dump(self) -> Line:
        texts = [data.decode() for data, _ in self.elements]
        outcomes = tuple(outcome for _, some in self.elements for outcome in some)
        self.elements = []
        return wrappers.records_dump(texts).encode(), outcomes

    def _add(self, line: Line, event: Event, at: int) -> None:
        """Give the line to the file, alone or joined with others."""
        if self.glue is not None:
            self.seen[f"broken_{self.glue}"] += 1
            line, self.glue = glued(self.glue, line, event.as_text(), self.rng), None
            self.writer.add(line, at)  # an unclosed object must stay the last on its line
            return
        if not self.joining and not (self.forms.joined and self.rng.random() < self.forms.joined):
            self.writer.add(line, at)
            return
        if not self.joining:
            self.joining_until = self.rng.randint(2, 5)
            self.seen["joined"] += 1
        self.joining.append(line)
        if len(self.joining) >= self.joining_until:
            self._close_joined(at)

    def _close_joined(self, at: int) -> None:
        between = self.rng.choice((b"", b"", b" ", b"\t"))
        data = between.join(data for data, _ in self.joining)
        outcomes = tuple(outcome for _, some in self.joining for outcome in some)
        self.joining = []
        self.writer.add((data, outcomes), at)

    def _add_broken(self, event: Event, at: int) -> None:
        if not breakable(event):
            return
        kind = self.broken_kinds.take()
        if kind in GLUED:
            self.glue = kind
            return
        self.seen[f"broken_{kind}"] += 1
        self.writer.add(broken_line(kind, event, event.as_text(), at, self.rng), at)

    def _add_control(self, at: int) -> None:
        kind = self.control_kinds.take()
        self.seen[f"control_{kind}"] += 1
        self.writer.add((control_text(kind, at, self.rng).encode(), (CONTROL,)), at)

    def _add_large(self, event: Event, at: int) -> None:
        """The event once more, at exactly the limit, and a record of one byte more."""
        self.large_left -= 1
        self.large_every += self.events // (self.forms.too_large + 1)
        self.seen["too_large"] += 1
        text = event.as_text()
        for size in (self.max_record_bytes, self.max_record_bytes + 1):
            head, tail = f'{text[:-1]},"pad":"'.encode(), b'"}'
            raw = head + b"x" * (size - len(head) - len(tail)) + tail
            broken = size > self.max_record_bytes
            self.writer.add((raw, (Broken("too_large", raw) if broken else event.truth,)), at)

    def _finish(self) -> None:
        """Deliver what still waits for company."""
        at = self.writer.arrived_at
        if self.elements:
            self.writer.add(self._close_dump(), at)
        if self.joining:
            self._close_joined(at)
        self.writer.finish()
