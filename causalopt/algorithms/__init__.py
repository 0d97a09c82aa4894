"""Algorithms that two problems or more use."""
