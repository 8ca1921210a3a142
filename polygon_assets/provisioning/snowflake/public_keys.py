"""Public keys of service users: read from a file or a setting, and their fingerprints.

Add a form in which a key may be given here; which key a user gets belongs to `differences`.
"""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from polygon_assets.provisioning.object_plan import ProvisioningError

SHORTEST_KEY_BITS = 2048
_CURE = (
    "name a file that `openssl rsa -in KEY.pem -pubout` has written, or give the text between its "
    "first and last line"
)


@dataclass(frozen=True)
class PublicKey:
    """An RSA key as Snowflake stores it: base64 without lines; and its fingerprint."""

    body: str = field(repr=False)
    fingerprint: str


def read_keys(entries: Iterable[str], roles: Iterable[str]) -> dict[str, PublicKey]:
    """ROLE=FILE or ROLE=KEY entries by role; a later entry wins. Raises ProvisioningError."""
    known, keys = tuple(roles), {}
    for entry in entries:
        role, _, value = (part.strip() for part in entry.partition("="))
        if role not in known or not value:
            raise ProvisioningError(
                f"{role!r} names no role with a public key: write ROLE=FILE such as "
                f"transformer=dagster.pub, with a role of {', '.join(known)}"
            )
        keys[role] = _parse(role, value)
    return keys


def _parse(role: str, value: str) -> PublicKey:
    """`value` is the key if it is base64 of one, and otherwise names a file."""
    key = _from_base64(value)
    if key is None:
        try:
            text = Path(value).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise ProvisioningError(
                f"the public key of {role} is neither a key nor a readable file ({error}); {_CURE}"
            ) from None
        lines = [line for line in text.splitlines() if not line.startswith("-----")]
        key = _from_base64("".join(lines))
    if key is None:
        raise ProvisioningError(
            f"the public key of {role} is no RSA public key of {SHORTEST_KEY_BITS} or more bits; "
            f"{_CURE}"
        )
    return key


def _from_base64(text: str) -> PublicKey | None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        der = base64.b64decode("".join(text.split()), validate=True)
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        return None
    if not isinstance(key, RSAPublicKey) or key.key_size < SHORTEST_KEY_BITS:
        return None
    digest = base64.b64encode(hashlib.sha256(der).digest()).decode()
    return PublicKey(base64.b64encode(der).decode(), f"SHA256:{digest}")
