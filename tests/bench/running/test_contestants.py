"""Who takes part in a benchmark, and what is said of a backend that has a peer's name."""

from __future__ import annotations

import importlib.metadata

import pytest

import causalopt as co
from causalopt.bench.running.contestants import gather
from causalopt.solving import backend


def test_a_backend_with_the_name_of_a_peer_does_not_run_in_silence(monkeypatch):
    entry = importlib.metadata.EntryPoint("scipy", "causalopt_highs:HighsBackend", backend.ENTRY_POINTS)
    known = {**backend._entry_points(), "scipy": entry}
    monkeypatch.setattr(backend, "_entry_points", lambda: known)
    with pytest.warns(co.CausaloptWarning, match="both named 'scipy': the peer runs, the backend does not"):
        field = gather(["scipy", "highs"], [])
    assert field.contestants["scipy"].peer
    assert not field.contestants["highs"].peer
