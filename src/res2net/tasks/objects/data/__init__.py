"""Data sets and augmentation for tasks on objects, beyond reading files."""
