"""Who runs: backends, peers (the same work without causalopt), and the fast paths of a problem."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Mapping

from causalopt.bench.running.peers import PEERS
from causalopt.bench.running.suite import Instance, Suite
from causalopt.errors import CausaloptError, CausaloptWarning, OptionError, SolverNotAvailable
from causalopt.solving.backend import Backend, backend_names, get_backend, installed_backends
from causalopt.solving.options import unknown_name
from causalopt.version import __version__


@dataclasses.dataclass(frozen=True)
class Contestant:
    """A solver that takes part.

    Attributes
    ----------
    name : str
    backend : Backend or None
        None for a path of a problem.
    peer : bool
    version, license : str
    """

    name: str
    backend: Backend | None
    peer: bool = False
    version: str = ""
    license: str = ""

    @classmethod
    def of(cls, name: str, backend: Backend, peer: bool = False) -> Contestant:
        """Return a backend as a contestant; a peer works under the licence of the solver that it calls."""
        licensed = get_backend(name.removeprefix("raw:")) if peer and name.startswith("raw:") else backend
        return cls(name, backend, peer, backend.version(), str(licensed.license()))


@dataclasses.dataclass(frozen=True)
class Field:
    """All contestants of a suite by name, and for those that cannot take part the reason."""

    contestants: Mapping[str, Contestant]
    absent: Mapping[str, str]


def names_of(suite: Suite, instance: Instance, formulation: str | None) -> list[str]:
    """Return the names of everyone who is to solve a formulation of an instance."""
    chosen = instance.only.get(formulation)
    if chosen is None:
        chosen = [*(suite.solvers if instance.solvers is None else instance.solvers), *instance.paths]
    names: list[str] = []
    for name in chosen:
        names += [b.name for b in installed_backends()] if name == "installed" else [name]
    return list(dict.fromkeys(names))


def peer_names() -> list[str]:
    """Return the names of all peers."""
    return list(PEERS)


def gather(names: Iterable[str], paths: Iterable[str], extra: Mapping[str, Backend] | None = None) -> Field:
    """Return the contestants of these names.

    Parameters
    ----------
    names : iterable of str
    paths : iterable of str
        Those names that are paths of problems.
    extra : mapping, optional
        Further backends by name.

    Raises
    ------
    OptionError
        For a name that nobody has; the nearest ones are offered.
    """
    extra, paths = dict(extra or {}), set(paths)
    found: dict[str, Contestant] = {}
    absent: dict[str, str] = {}
    for name in dict.fromkeys(names):
        if name in extra:
            found[name] = Contestant.of(name, extra[name])
        elif name in paths:
            found[name] = Contestant(name, None, version=__version__, license="open source")
        elif name in PEERS:
            if name in backend_names():
                warnings.warn(
                    f"A backend and a peer of the benchmarks are both named {name!r}: the peer runs, the backend does "
                    "not. Register the backend under another name.",
                    CausaloptWarning,
                    stacklevel=3,
                )
            peer = PEERS[name]()
            if peer.is_installed():
                found[name] = Contestant.of(name, peer, peer=True)
            else:
                absent[name] = f"{name} {peer.how_to_install()}"
        elif name.partition(":")[0] not in backend_names():
            raise OptionError(unknown_name("solver", name, [*backend_names(), *paths, *PEERS, *extra]))
        else:
            try:
                found[name] = Contestant.of(name, get_backend(name))
            except SolverNotAvailable as error:
                absent[name] = str(error)
            except CausaloptError as error:
                absent[name] = f"{name}: {error}"
    return Field(found, absent)
