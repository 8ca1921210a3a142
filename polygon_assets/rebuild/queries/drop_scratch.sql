-- Removes the scratch table `table`.
DROP TABLE IF EXISTS market.{table:Identifier} SYNC
