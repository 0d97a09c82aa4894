"""The version of causalopt."""

__version__ = "0.1.0"
