"""What every test needs of its process."""

import signal


def pytest_configure() -> None:
    """Begin with a SIGINT that is heard: what a script starts in the background inherits it ignored, Dagster makes SIGTERM the same,
    and everything started here would then ignore both.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
