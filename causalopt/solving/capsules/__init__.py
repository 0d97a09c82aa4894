"""Solves in one file: what it holds, how it is written, and the replay."""
