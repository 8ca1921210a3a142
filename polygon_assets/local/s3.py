"""`python -m polygon_assets.local.s3`: moto's S3 server, with objects that survive a restart.

moto keeps objects in memory, so this server mirrors bytes and times to files; it drops metadata and
versions, which nothing here uses. Add server behaviour here; reading the subscription CSV belongs
to `subscriptions`.
"""

import argparse
import datetime as dt
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import make_server

from polygon_assets.local import loopback
from polygon_assets.stop_signals import stop_event

logger = logging.getLogger("polygon_assets.local.s3")
WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_SAMPLE = "sample_subscriptions.csv"
# No quoted key starts like this: two hexadecimal digits follow each percent sign of a quoted key.
_PARTIAL = "%partial-"


class Mirror:
    """Keeps moto's buckets as directories and their objects as files named by the quoted key."""

    def __init__(self, directory: Path, region: str) -> None:
        self._directory = directory
        self._region = region
        self._backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        self._saved: dict[Path, tuple[str, dt.datetime]] = {}
        """ETag and last change of each object as it stands on disk."""
        self._lock = threading.Lock()

    def load(self) -> None:
        """Read the buckets and objects of an earlier run back into moto."""
        for bucket in sorted(path for path in self._directory.iterdir() if path.is_dir()):
            self._backend.create_bucket(bucket.name, self._region)
            for file in sorted(
                path for path in bucket.iterdir() if not path.name.startswith(_PARTIAL)
            ):
                key = self._backend.put_object(bucket.name, unquote(file.name), file.read_bytes())
                key.last_modified = dt.datetime.fromtimestamp(file.stat().st_mtime, dt.UTC).replace(
                    tzinfo=None
                )
                self._saved[file] = (key.etag, key.last_modified)

    def seed(self, bucket: str, key: str, content: bytes) -> None:
        """Create the bucket and the object unless they exist."""
        if bucket not in self._backend.buckets:
            self._backend.create_bucket(bucket, self._region)
        if key not in self._backend.buckets[bucket].keys:
            self._backend.put_object(bucket, key, content)
        self.save()

    def save(self) -> None:
        """Write objects changed since the last call and delete the files of removed ones.

        A file is complete or absent, never partial.
        """
        with self._lock:
            current = dict(self._objects())
            for file, key in current.items():
                if self._saved.get(file) != (key.etag, key.last_modified):
                    _write(file, key.value, key.last_modified)
                    self._saved[file] = (key.etag, key.last_modified)
            for file in self._saved.keys() - current.keys():
                file.unlink(missing_ok=True)
                del self._saved[file]

    def _objects(self) -> Iterator[tuple[Path, Any]]:
        for bucket in list(self._backend.buckets.values()):
            (self._directory / bucket.name).mkdir(parents=True, exist_ok=True)
            for name, key in list(bucket.keys.items()):
                yield self._directory / bucket.name / quote(name, safe=""), key


def saving(application: WsgiApplication, mirror: Mirror) -> WsgiApplication:
    """Wrap the application: it saves to the mirror before it answers a writing request."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = application(environ, start_response)
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            mirror.save()
        return body

    return answer


def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    arguments.path.mkdir(parents=True, exist_ok=True)
    mirror = Mirror(arguments.path, arguments.region)
    mirror.load()
    mirror.seed(
        arguments.bucket,
        arguments.key,
        resources.files("polygon_assets.local").joinpath(_SAMPLE).read_bytes(),
    )
    application = saving(create_backend_app("s3"), mirror)
    server = make_server(
        arguments.host,
        arguments.port,
        application,
        threaded=True,
        request_handler=MotoRequestHandler,
    )
    stop = stop_event()
    threading.Thread(target=server.serve_forever, name="accept", daemon=True).start()
    logger.info("serving %s on http://%s:%d", arguments.path, arguments.host, server.server_port)
    stop.wait()
    server.shutdown()
    server.server_close()
    return 0


def _write(file: Path, content: bytes, modified: dt.datetime) -> None:
    partial = file.with_name(_PARTIAL + file.name)
    partial.write_bytes(content)
    moment = modified.replace(tzinfo=dt.UTC).timestamp()
    os.utime(partial, (moment, moment))
    partial.replace(file)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m polygon_assets.local.s3", description=main.__doc__
    )
    loopback.add_host_options(parser)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--path", type=Path, required=True, help="directory of the buckets; created if absent"
    )
    parser.add_argument("--bucket", required=True, help="bucket to create if absent")
    parser.add_argument(
        "--key", required=True, help="key of the sample subscription CSV, put there if absent"
    )
    parser.add_argument("--region", default="us-east-1")
    return loopback.parse(parser)


if __name__ == "__main__":
    sys.exit(main())
