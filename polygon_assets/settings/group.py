"""What every group of settings shares; a variable belongs to its group's module.

A group reads the environment only as a part of `Settings`.
"""

from pydantic import SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

NO_SECRET = SecretStr("")


class SettingsGroup(BaseSettings):
    """Variables of one subject, each with its default and its meaning."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    @field_validator("*", mode="before")
    @classmethod
    def _utf_8(cls, value: object) -> object:
        """Refuse bytes that are no text: they would fail later, in an error without the name."""
        if isinstance(value, str) and any("\ud800" <= sign <= "\udfff" for sign in value):
            raise ValueError("must be UTF-8 text")
        return value
