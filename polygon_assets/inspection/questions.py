"""Several systems queried at once, with one deadline for all of them.

Only the waiting belongs here; the queries, and what an answer or a failure means, belong to the
callers.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass
class Answer:
    """The result of one query; neither value nor error when it did not end in time."""

    value: Any = None
    error: Exception | None = None
    seconds: float | None = None
    """How long the query took; None while it runs."""

    @property
    def has_value(self) -> bool:
        return self.seconds is not None and self.error is None


def value_of(answers: Mapping[str, Answer], name: str) -> Any:
    """The value of a query's answer; None without one."""
    return answers[name].value if name in answers and answers[name].has_value else None


class Questions:
    """The same queries, run once or repeatedly; a system that hangs gets no second query."""

    def __init__(self, questions: Mapping[str, Callable[[], Any]]) -> None:
        self._questions = questions
        self._asking: dict[str, tuple[threading.Thread, Answer]] = {}

    def ask(self, deadline_seconds: float) -> dict[str, Answer]:
        """Every query's answer, in their order, after `deadline_seconds` at the latest.

        The threads are daemons: a query that hangs for a minute must not delay the process's end.
        """
        until = time.monotonic() + deadline_seconds
        for name in self._questions:
            if name not in self._asking or not self._asking[name][0].is_alive():
                self._start(name)
        for thread, _ in self._asking.values():
            thread.join(max(0.0, until - time.monotonic()))
        return {
            name: self._asking[name][1] if not self._asking[name][0].is_alive() else Answer()
            for name in self._questions
        }

    def _start(self, name: str) -> None:
        answer = Answer()
        thread = threading.Thread(
            target=_answer, args=(self._questions[name], answer), name=f"ask {name}", daemon=True
        )
        self._asking[name] = (thread, answer)
        thread.start()


def _answer(question: Callable[[], Any], answer: Answer) -> None:
    started = time.monotonic()
    try:
        answer.value = question()
    except Exception as error:  # noqa: BLE001  # the caller names the system and decides
        answer.error = error
    answer.seconds = time.monotonic() - started
