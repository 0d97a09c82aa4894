"""Algorithms for worst-case copulas."""
