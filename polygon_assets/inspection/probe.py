"""Where a stream program answers about itself, and asking it: /healthz, /readyz, /metrics.

Add what a question to a running program needs here; serving the answers belongs to
`streaming.metrics_server`, the rule behind them to `health`.
"""

import http.client

from polygon_assets.inspection import InspectionError
from polygon_assets.messages import PROGRAMS, ProgramName
from polygon_assets.settings import Settings

ALIVE, READY, METRICS = "/healthz", "/readyz", "/metrics"
ANSWER_SECONDS = 5.0
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class ProbeError(InspectionError):
    """The program gave no answer; the message names the address and the cure."""


def metrics_port(settings: Settings, program: ProgramName) -> int:
    """The program's own port, so that four programs can run on one machine; 0 for none."""
    first = settings.metrics_port
    return first + PROGRAMS.index(program) if first else 0


def ask(settings: Settings, program: ProgramName, path: str) -> tuple[bool, str]:
    """Whether the program on this machine answers a probe with 200, and its words.

    Raises ProbeError.
    """
    port = metrics_port(settings, program)
    if not port:
        raise ProbeError(
            f"METRICS_PORT=0: the {program} serves no {path}; set the port, as 9770, for the "
            "program and for this command"
        )
    host = _ANY_ADDRESS.get(settings.metrics_host, settings.metrics_host)
    # Directly: a proxy of the environment is not for this machine.
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status == http.HTTPStatus.OK, answer.read().decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        raise ProbeError(
            f"{program}: no answer from http://{host}:{port}{path} ({error!r}); does it run here, "
            "with the same METRICS_PORT and METRICS_HOST?"
        ) from error
    finally:
        connection.close()
