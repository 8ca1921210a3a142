"""Asks several systems at once and waits for none of them longer than a deadline.

What is asked, and what an answer or a failure means, is the callers' business.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass
class Answer:
    """What came of one question. Neither value nor error: no answer came in time."""

    value: Any = None
    error: Exception | None = None
    seconds: float | None = None
    """How long the answer took; None while there is none."""

    @property
    def is_there(self) -> bool:
        return self.seconds is not None and self.error is None


class Questions:
    """The same questions, asked once or again and again. A system that hangs is not asked again while it hangs."""

    def __init__(self, questions: Mapping[str, Callable[[], Any]]) -> None:
        self._questions = questions
        self._asking: dict[str, tuple[threading.Thread, Answer]] = {}

    def ask(self, deadline_seconds: float) -> dict[str, Answer]:
        """Every question's answer, in their order, after `deadline_seconds` at the latest.

        The threads are daemons: a question that hangs for a minute must not hold up the end of the process.
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
    except Exception as error:  # noqa: BLE001  # handed to the caller, who names the system and decides
        answer.error = error
    answer.seconds = time.monotonic() - started
