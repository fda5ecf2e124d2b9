"""The rows of the ledger: what is published, transcribed."""
