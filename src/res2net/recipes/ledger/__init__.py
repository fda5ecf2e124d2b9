"""The ledger: every table and figure of the paper and of its page, how to repeat it, its cost, and what was run."""
