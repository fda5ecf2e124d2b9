"""The tasks, a folder each: everything that only one task needs is in its folder."""
