"""Road graphs from aerial images."""
