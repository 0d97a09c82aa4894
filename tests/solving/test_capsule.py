import dataclasses
import io
import json
import zipfile

import numpy as np
import pytest
import scipy.sparse as sp

import causalopt as co
from causalopt.solving.capsules.capsule import Capsule, Claim
from causalopt.solving.capsules.fields import PARTS
from causalopt.solving.capsules.file import DESCRIPTION, SCHEMA, as_json, checksum
from causalopt.solving.options import SolveOptions
from causalopt.verifying.claims import Limit, Reason, Termination

KNAPSACK = co.Program.from_arrays([-3.0, -4.0, -5.0], [[2.0, 3.0, 4.0]], -np.inf, 5.0, 0.0, 1.0, integer=True)


def random_program(seed):
    """Awkward numbers on purpose: negative zeros, subnormals, infinite bounds, 64-bit and 32-bit indices."""
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(1, 8)), int(rng.integers(0, 6))
    A = sp.random_array((m, n), density=0.5, rng=rng, format="csr")
    if seed % 2:
        A.indices, A.indptr = A.indices.astype(np.int64), A.indptr.astype(np.int64)
    Q = None if seed % 3 == 0 else sp.tril(sp.random_array((n, n), density=0.4, rng=rng), format="csc")
    c = rng.normal(size=n)
    c[0] = [-0.0, 5e-324, 1e308, np.pi][seed % 4]
    return co.Program(
        c=c,
        A=sp.csr_matrix(A),
        row_lower=np.full(m, -np.inf),
        row_upper=rng.normal(size=m),
        lower=np.where(rng.random(n) < 0.5, -np.inf, -1.0),
        upper=np.where(rng.random(n) < 0.5, np.inf, 1.0),
        integer=rng.random(n) < 0.3,
        Q=None if Q is None else sp.csc_matrix(Q),
        constant=[0.1 + 0.2, -0.0, 1e-300][seed % 3],
        maximize=bool(seed % 2),
        convex=[None, True, False][seed % 3],
    )


def bits(array):
    return None if array is None else (array.dtype, array.shape, array.tobytes())


def same_program(first, second):
    for name in ("c", "row_lower", "row_upper", "lower", "upper", "integer"):
        assert bits(getattr(first, name)) == bits(getattr(second, name)), name
    for name in ("A", "Q"):
        a, b = getattr(first, name), getattr(second, name)
        assert (a is None) == (b is None)
        if a is not None:
            assert a.shape == b.shape and a.format == b.format
            assert all(bits(getattr(a, part)) == bits(getattr(b, part)) for part in PARTS)
    assert np.float64(first.constant).tobytes() == np.float64(second.constant).tobytes()
    assert (first.maximize, first.convex) == (second.maximize, second.convex)


def capsule_of(program=KNAPSACK, solver="highs", **options):
    return Capsule.of(program, co.solve(program, solver), SolveOptions(**options))


def rewritten(content, change, member=DESCRIPTION, honest=True):
    """The file with one member changed; an honest change of the description has its checksum renewed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == member:
                if name == DESCRIPTION:
                    description = json.loads(data)
                    change(description)
                    if honest:
                        description["checksum"] = checksum(description)
                    data = as_json(description).encode()
                else:
                    data = change(data)
            if data is not None:
                new.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize("seed", range(12))
def test_the_round_trip_is_exact_to_the_bit(seed, tmp_path):
    program = random_program(seed)
    rng = np.random.default_rng(seed)
    claim = Claim(
        Termination(Reason.FEASIBLE, Limit.TIME, "its word"),
        objective=rng.normal(),
        bound=[-np.inf, rng.normal() * 1e-300, None][seed % 3],
        x=rng.normal(size=program.n_columns),
        row_dual=None if seed % 2 else rng.normal(size=program.n_rows),
        verification="as it was",
    )
    options = SolveOptions(
        time_limit=0.1 + 0.2, gap=1e-9, threads=2, seed=5, start=-claim.x, solver_options={"a": 1, "b": "x", "c": 0.1}
    )
    made = Capsule(
        program,
        options,
        claim,
        "highs",
        "1.2",
        "ipm",
        "qp",
        "BalanceProblem",
        bool(seed % 2),
        {"python": "3"},
        "of a part of the data",
    )
    made.save(tmp_path / "a.capsule")
    read = Capsule.load(tmp_path / "a.capsule")
    same_program(made.program, read.program)
    assert read.claim.status == claim.status and read.claim.verification == "as it was"
    assert (read.claim.objective, read.claim.bound) == (claim.objective, claim.bound)
    assert bits(read.claim.x) == bits(claim.x) and bits(read.claim.row_dual) == bits(claim.row_dual)
    assert bits(read.options.start) == bits(options.start)
    for name in ("time_limit", "gap", "threads", "seed", "solver_options", "isolate", "memory_limit"):
        assert getattr(read.options, name) == getattr(options, name)
    for field in ("solver", "solver_version", "method", "formulation", "problem", "tangents", "platform", "note"):
        assert getattr(read, field) == getattr(made, field)
    assert read.to_bytes() == made.to_bytes() == (tmp_path / "a.capsule").read_bytes()


def test_nothing_is_pickled_and_numpy_reads_it(tmp_path):
    path = capsule_of().save(tmp_path / "a.capsule")
    with np.load(path, allow_pickle=False) as arrays:
        assert arrays["program/c"].tolist() == [-3.0, -4.0, -5.0]


@pytest.mark.parametrize("solver", [None, "scip", "gurobi", "cplex"])
def test_a_replay_agrees_on_every_solver(solver):
    if solver is not None and not co.solvers().loc[solver, "installed"]:
        pytest.skip(f"{solver} is not installed")
    replay = capsule_of().replay(solver)
    assert replay.agrees and replay.result.solver == (solver or "highs") and not replay.contradictions
    table = replay.to_frame()
    assert table.loc["objective", "recorded"] == table.loc["objective", "now"] == -7.0


def test_a_problem_solved_by_a_fast_path_is_replayed_by_a_solver():
    rng = np.random.default_rng(0)
    problem = co.BalanceProblem(rng.normal(size=(60, 3)), np.arange(60) % 2, tolerance=0.05)
    result = co.solve(problem)
    capsule = Capsule.of(problem, result)
    assert (capsule.solver, capsule.problem, capsule.formulation) == ("dual-newton", "BalanceProblem", "qp")
    replay = capsule.replay()
    assert replay.agrees and replay.result.solver == "highs"
    np.testing.assert_allclose(replay.result.x, result.x, atol=1e-6)
    with pytest.raises(co.SolverNotAvailable, match="dual-newton is a fast path of a problem, and a capsule keeps its"):
        capsule.replay("dual-newton")


def test_squares_are_replayed_by_tangents_where_the_problem_allows_it():
    y = np.array([1.0, 2.0, 4.0, 3.0, 5.0, 9.0, 2.5])
    problem = co.CopulaProblem(y, [1, 0, 1, 0, 0, 1, 0], co.CompleteRandomization(3))
    capsule = Capsule.of(problem, co.solve(problem, "highs"))
    assert capsule.tangents and capsule.formulation == "convex"
    assert capsule.replay().agrees
    with pytest.raises(co.UnsupportedProblem):
        dataclasses.replace(capsule, tangents=False).replay("highs")


def test_a_pyomo_model_is_kept_as_its_program():
    import pyomo.environ as pyo

    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 4))
    m.o = pyo.Objective(expr=(m.x - 1) ** 2)
    capsule = Capsule.of(m, co.solve(m, "highs"))
    same_program(capsule.program, co.compile_model(m).replace(columns=(), rows=()))
    assert capsule.replay("scip").agrees


def test_infeasible_is_a_claim_too():
    program = co.Program.from_arrays([1.0, 1.0], [[1.0, 1.0]], 3.0, np.inf, 0.0, 1.0, integer=True)
    replay = capsule_of(program).replay("scip")
    assert replay.agrees and replay.capsule.claim.status.reason is Reason.INFEASIBLE
    feasible = dataclasses.replace(replay.capsule, program=program.replace(row_lower=np.array([1.0])))
    assert "infeasible, the replay" in feasible.replay().verdict


@pytest.mark.parametrize(
    ("claim", "word"),
    [
        ({"objective": -8.0}, "does not survive"),  # not that of its x
        ({"x": np.array([1.0, 1.0, 1.0]), "objective": -12.0, "bound": -12.0}, "does not survive"),  # infeasible
        ({"x": np.array([1.0, 0.0, 0.0]), "objective": -3.0, "bound": -3.0}, "beats the recorded bound"),  # suboptimal
    ],
)
def test_a_false_record_is_contradicted(claim, word):
    made = capsule_of()
    replay = dataclasses.replace(made, claim=dataclasses.replace(made.claim, **claim)).replay("highs")
    assert not replay.agrees and word in replay.verdict and replay.verdict.startswith("contradicts")


@pytest.mark.parametrize("maximize", [False, True])
def test_a_false_record_is_contradicted_at_every_size_of_the_objective(maximize):
    c = 1e-8 if not maximize else -1e-8
    program = co.Program.from_arrays([c, c], [[1.0, 1.0]], 1.0, np.inf, 0.0, 10.0, integer=True, maximize=maximize)
    made = capsule_of(program)
    assert made.replay("highs").agrees
    claim = dataclasses.replace(made.claim, x=np.array([3.0, 4.0]), objective=7 * c, bound=7 * c)
    replay = dataclasses.replace(made, claim=claim).replay("highs")
    assert not replay.agrees and "beats the recorded bound" in replay.verdict


@pytest.mark.parametrize("bound", [None, np.inf])
@pytest.mark.parametrize(
    ("x", "gap", "contradicted"),
    [(1.0, 1e-6, False), (10.0, 1e-6, True), (10.0, 0.3, True), (10.0, 0.95, False)],  # the optimum is 1
)
def test_an_optimum_recorded_without_a_bound_is_a_claim_within_its_gap(x, gap, contradicted, bound):
    made = capsule_of(co.Program.from_arrays([1.0], None, None, None, 1.0, 10.0, integer=True))
    claim = dataclasses.replace(made.claim, x=np.array([x]), objective=x, bound=bound)
    replay = dataclasses.replace(made, claim=claim, options=SolveOptions(gap=gap)).replay("highs")
    assert ("new objective 1 beats the recorded optimum 10" in replay.verdict) == contradicted
    assert bool(replay.contradictions) == contradicted


def test_the_same_status_with_another_objective_is_no_agreement():
    replay = capsule_of().replay("highs")
    at_limit = Termination(Reason.FEASIBLE, Limit.TIME)
    claim = dataclasses.replace(replay.capsule.claim, status=at_limit, objective=-3.0, bound=-9.0, x=np.eye(3)[0])
    result = dataclasses.replace(replay.result, status=at_limit, bound=-9.0)
    other = dataclasses.replace(replay, capsule=dataclasses.replace(replay.capsule, claim=claim), result=result)
    assert not other.contradictions and not other.agrees and "did not reach the same" in other.verdict
    same = dataclasses.replace(claim, objective=-7.0, x=replay.result.x)
    assert dataclasses.replace(other, capsule=dataclasses.replace(other.capsule, claim=same)).agrees


def test_an_incumbent_at_a_limit_is_neither_agreed_with_nor_contradicted():
    made = capsule_of()
    x = np.array([1.0, 0.0, 0.0])
    claim = Claim(Termination(Reason.FEASIBLE, Limit.TIME), -3.0, -9.0, x)
    replay = dataclasses.replace(made, claim=claim).replay("highs")
    assert not replay.agrees and not replay.contradictions and "did not reach the same" in replay.verdict


def test_a_solver_that_is_not_here_says_which_are():
    with pytest.raises(co.SolverNotAvailable, match=r"Did you mean 'highs'"):
        capsule_of().replay("higs")
    absent = dataclasses.replace(capsule_of(), solver="pyomo:knitroampl")
    with pytest.raises(co.SolverNotAvailable, match=r"Installed solvers: .*highs"):
        absent.replay()


def test_a_robust_test_has_no_capsule_and_the_error_says_why():
    problem = co.RobustZProblem([5.0, 6.1, 9.3], [4.0, 4.5, 7.0], np.ones((3, 3)), pairs=2)
    with pytest.raises(co.DataError, match="takes several programs"):
        Capsule.of(problem, co.solve(problem))


def test_an_answer_to_another_program_is_refused():
    with pytest.raises(co.DataError, match="not an answer to this problem"):
        Capsule.of(KNAPSACK, co.solve(co.Program.from_arrays([1.0]), "highs"))


def test_options_may_be_numpy_numbers_or_unlimited(tmp_path):
    options = SolveOptions(
        time_limit=np.inf,
        gap=np.float32(0.25),
        threads=np.int32(2),
        seed=np.int64(3),
        log=np.True_,
        solver_options={"a": np.int64(4), "b": np.float32(0.5), "c": np.False_},
        isolate=True,
        memory_limit=np.inf,
    )
    made = dataclasses.replace(capsule_of(), options=options)
    read = Capsule.load(made.save(tmp_path / "a.capsule")).options
    for name in ("time_limit", "gap", "threads", "seed", "log", "solver_options", "isolate", "memory_limit"):
        assert getattr(read, name) == getattr(options, name), name
    infinite = dataclasses.replace(made, options=SolveOptions(solver_options={"objective_bound": np.inf}))
    with pytest.raises(co.OptionError, match="'objective_bound' is inf: a capsule holds finite numbers"):
        infinite.to_bytes()


def test_options_that_no_file_can_hold_are_refused_and_nothing_is_written(tmp_path):
    made = capsule_of(solver_options={"callback": print})
    with pytest.raises(co.OptionError, match="'callback'"):
        made.save(tmp_path / "a.capsule")
    assert list(tmp_path.iterdir()) == []


# ---- files that are no capsule ----


def test_files_that_are_no_capsule(tmp_path):
    path = tmp_path / "x.capsule"
    with pytest.raises(co.DataError, match=r"cannot be read: No such file"):
        Capsule.load(path)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(co.DataError, match="is not a capsule"):
        Capsule.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "hello")
    with pytest.raises(co.DataError, match=r"zip file without capsule\.json"):
        Capsule.load(path)
    for text in ("{", "[]", '{"format": "other", "schema": 1}', '{"format": "causalopt capsule"}'):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(DESCRIPTION, text)
        with pytest.raises(co.DataError, match="says nothing of one"):
            Capsule.load(path)


def test_a_newer_schema_says_to_upgrade(tmp_path):
    path = tmp_path / "x.capsule"
    path.write_bytes(rewritten(capsule_of().to_bytes(), lambda d: d.update(schema=SCHEMA + 1)))
    with pytest.raises(co.DataError, match=rf"schema {SCHEMA + 1}.*upgrade"):
        Capsule.load(path)


def test_a_capsule_from_before_there_were_notes_has_none(tmp_path):
    path = tmp_path / "x.capsule"
    path.write_bytes(rewritten(capsule_of().to_bytes(), lambda d: d.pop("note")))
    assert Capsule.load(path).note == ""


def test_every_truncation_is_found(tmp_path):
    content = capsule_of().to_bytes()
    path = tmp_path / "x.capsule"
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        with pytest.raises(co.DataError, match=r"not a capsule|damaged or cut short"):
            Capsule.load(path)


def test_tampering_is_found_by_checksums(tmp_path):
    content = capsule_of().to_bytes()
    path = tmp_path / "x.capsule"

    def refused(changed, match):
        path.write_bytes(changed)
        with pytest.raises(co.DataError, match=match):
            Capsule.load(path)

    other = io.BytesIO()
    np.lib.format.write_array(other, np.array([-3.0, -4.0, -6.0]))
    refused(rewritten(content, lambda _: other.getvalue(), "program/c.npy"), r"program/c\.npy does not match")
    refused(rewritten(content, lambda _: None, "program/c.npy"), r"program/c\.npy does not match")
    refused(rewritten(content, lambda d: d["claim"].update(objective=-9.0), honest=False), r"capsule\.json does not")


def test_flipped_bits_are_never_read_as_if_nothing_were(tmp_path):
    content = capsule_of().to_bytes()
    path = tmp_path / "x.capsule"
    original = Capsule.load(capsule_of().save(tmp_path / "good.capsule"))
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(content), 60):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            read = Capsule.load(path)
        except co.DataError:
            continue
        assert read.to_bytes() == original.to_bytes()  # a bit that says nothing, such as the zip's flags


def test_pickles_are_not_read(tmp_path):
    import hashlib

    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.array([print], dtype=object), allow_pickle=True)
    content = rewritten(capsule_of().to_bytes(), lambda _: buffer.getvalue(), "program/c.npy")
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    content = rewritten(content, lambda d: d["arrays"].update({"program/c.npy": digest}))
    path = tmp_path / "x.capsule"
    path.write_bytes(content)
    with pytest.raises(co.DataError, match="is not a capsule of schema 1"):
        Capsule.load(path)


def test_contradicting_shapes_are_refused(tmp_path):
    path = tmp_path / "x.capsule"
    path.write_bytes(rewritten(capsule_of().to_bytes(), lambda d: d["program"].update(A=[1, 4])))
    with pytest.raises(co.DataError, match="is not a capsule of schema 1: ValueError"):
        Capsule.load(path)
