"""The batch half: the Airbyte connector, what its streams are, how records get into Snowflake, and the marts' SQL."""
