"""The frame of every stream program: logging, signals, exit codes, first and last heartbeat.

Add what all programs share here; what one program does belongs to its module.
"""

import logging
import sys
import threading
from collections.abc import Callable

from polygon_assets.clients import kafka_access
from polygon_assets.clients.kafka_access import KafkaAccessError, KafkaRefusedError
from polygon_assets.errors import PolygonAssetsError
from polygon_assets.messages import ProgramName
from polygon_assets.required_settings import missing_settings, not_set
from polygon_assets.settings import Settings, SettingsError
from polygon_assets.stop_signals import stop_event
from polygon_assets.streaming.heartbeat import HeartbeatPublisher
from polygon_assets.streaming.metrics_server import serving
from polygon_assets.streaming.process_identity import ProcessIdentityError

EXIT_OK = 0
EXIT_CRASHED = 1
EXIT_WRONG_KEY = 10
EXIT_NOT_ENTITLED = 11
EXIT_BAD_SETTINGS = 12
EXIT_NOT_DRAINED = 13
EXIT_UNKNOWN_ANSWER = 14


KAFKA_SECONDS = 5.0
"""At the start, the brokers have this long to accept the login; later ones are waited for."""


class ProgramError(PolygonAssetsError):
    """Ends the program with this exit code; the sentence is its last log line."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


Loop = Callable[[Settings, HeartbeatPublisher, threading.Event], None]


def run_program(name: ProgramName, settings: Settings, loop: Loop) -> int:
    """Run `loop` until it returns or SIGTERM or SIGINT asks it to; returns the exit code."""
    configure_logging(settings)
    stop = stop_event(lambda signal: logging.getLogger(name).info("%s: draining", signal))
    try:
        if missing := missing_settings(settings, name):
            raise SettingsError(not_set(missing))
        _log_in(settings)
        publisher = HeartbeatPublisher(name, settings)
        with serving(settings, publisher):
            return _run(name, settings, loop, publisher, stop)
    except (SettingsError, KafkaRefusedError) as error:
        logging.getLogger(name).error("%s", error)
        return EXIT_BAD_SETTINGS
    except ProcessIdentityError as error:
        logging.getLogger(name).error("%s", error)
        return EXIT_CRASHED


def _log_in(settings: Settings) -> None:
    """Raise KafkaRefusedError where another try would end the same way.

    Without a login no heartbeat could name the reason. Brokers that are away are waited for.
    """
    try:
        kafka_access.check(settings, KAFKA_SECONDS)
    except KafkaRefusedError:
        raise
    except KafkaAccessError as error:
        logging.getLogger("kafka").warning("%s", error)


def _run(
    name: ProgramName,
    settings: Settings,
    loop: Loop,
    publisher: HeartbeatPublisher,
    stop: threading.Event,
) -> int:
    publisher.start()
    try:
        loop(settings, publisher, stop)
    except ProgramError as error:
        logging.getLogger(name).error("%s", error)
        publisher.stop(str(error))
        return error.code
    except Exception as error:
        publisher.stop(f"crashed: {error!r}")
        logging.getLogger(name).critical("crashed", exc_info=error)
        return EXIT_CRASHED
    publisher.stop("drained")
    return EXIT_OK


class ConcealingFormatter(logging.Formatter):
    """Takes secrets out of every line: a library may log the words in which a server refuses it."""

    def __init__(self, settings: Settings) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")
        self._settings = settings

    def format(self, record: logging.LogRecord) -> str:
        return self._settings.conceal(super().format(record))


def configure_logging(settings: Settings) -> None:
    """One line per event to standard error; a closed pipe must not end the program."""
    logging.raiseExceptions = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ConcealingFormatter(settings))
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    logging.getLogger("kafka").setLevel(logging.WARNING)  # 18 lines for each read of a topic
