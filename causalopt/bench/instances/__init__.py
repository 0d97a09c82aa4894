"""Instances of the problems, one module a problem: real data, and generators with a planted optimum."""
