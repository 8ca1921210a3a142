-- The macros of the server's configuration, such as {shard} and {replica}.
SELECT macro, substitution FROM system.macros
