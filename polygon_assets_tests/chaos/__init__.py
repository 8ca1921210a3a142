"""The whole system under random faults, and the proof that nothing was lost: `make chaos`.

`plan` chooses the faults, `faults` inflicts them on the `system`, `recovery` says when all is well
again, `verdict` compares the tables with the exchange's truth, `report` prints the result.
"""
