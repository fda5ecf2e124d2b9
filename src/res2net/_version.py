"""The version of the package, read by the build and by `res2net --version`."""

__version__ = "0.2.0.dev0"
