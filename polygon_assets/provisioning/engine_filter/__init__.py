"""The filter's rules as SQL, for teams that run Flink or ksqlDB instead of our program.

Add a rule to `rules`, beside the one in `events.validation`; what differs between the engines
belongs to `flink` and `ksqldb`. `deploy/flink` and `deploy/ksqldb` have the result.
"""
