"""The verbs of the command line, one file each; `run` takes what stands behind the verb."""
