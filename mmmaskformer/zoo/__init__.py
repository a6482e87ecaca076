"""Models by name: every config of the package, and the weights that were released for some."""

from .loading import load
from .models import config_file, names

__all__ = ["config_file", "load", "names"]
