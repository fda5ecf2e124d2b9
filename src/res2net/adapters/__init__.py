"""Our backbones inside other libraries, one file a library; each is imported by its own name."""
