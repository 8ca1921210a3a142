"""Which certificates every client trusts.

Logins belong to the module of their system.
"""

import ssl

from pydantic import Field, field_validator

from polygon_assets.settings.group import SettingsGroup


class CertificateSettings(SettingsGroup):
    ca_bundle: str = Field(
        "",
        description="PEM file with the certificates of authorities that every client trusts; "
        "empty for the system's. No setting turns the verification off.",
    )

    @field_validator("ca_bundle")
    @classmethod
    def _readable(cls, path: str) -> str:
        """Refuse the file at the start: some clients would only say that they got no answer."""
        try:
            if path:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        except OSError as error:
            raise ValueError(
                f"no certificate can be read from this file ({error.strerror}); name a PEM file "
                "that holds the certificates to trust, or leave CA_BUNDLE empty for the system's"
            ) from error
        return path
