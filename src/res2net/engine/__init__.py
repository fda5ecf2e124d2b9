"""The run: typed configuration, training, evaluation, prediction, checkpoints."""
