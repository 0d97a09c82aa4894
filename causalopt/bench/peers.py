"""Peers: the same program solved without causalopt."""

from __future__ import annotations

from causalopt.solving.backend import Backend

PEERS: dict[str, type[Backend]] = {}
