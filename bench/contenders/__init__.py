"""The contenders: our programs (`ours`), their plain builds (`obvious`), their limits (`ceiling`).

Add a contender's code here; which contenders run, and in which order, belongs to `bench.rounds`.
"""
