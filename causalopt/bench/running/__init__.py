"""Suites and who takes part in them, and the processes in which every run is made under hard limits."""
