"""Our backbones in other libraries, one module for each library, to be imported by its own name."""
