"""SIGINT and SIGTERM while a program is supervised: noted, so that draining is not cut short.

Only the handling of the run's own signals belongs here; `supervision` looks at them.
"""

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self


class Interruption:
    """Notes both signals while it is entered, and raises the first one when it is left.

    For the main thread. Signals are noted, not raised: an exception can vanish in a finalizer, and
    a second signal would cut the drain short, because a dying parent and the dying code server
    each send one.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
        self._signal: int | None = None

    @property
    def came(self) -> bool:
        return self._signal is not None

    def __enter__(self) -> Self:
        numbers = (signal.SIGINT, signal.SIGTERM)
        self._handlers = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._signal is not None:
            signal.raise_signal(self._signal)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._signal = self._signal or number
