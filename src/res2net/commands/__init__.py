"""The verbs of the command line, one file each; `run` takes the words after the verb."""
