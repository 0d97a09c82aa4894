"""Robust tests: the range of a statistic over every way to form pairs."""
