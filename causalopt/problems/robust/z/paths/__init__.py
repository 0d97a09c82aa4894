"""Exact and heuristic algorithms for the extremes of Z."""
