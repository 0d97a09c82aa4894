"""Each problem over at least five sizes, to where each method stops."""

from functools import partial

from causalopt.bench import Instance, Suite
from causalopt.problems.assignment import instances as assignment
from causalopt.problems.balance import instances as balance
from causalopt.problems.copula import instances as copula
from causalopt.problems.factorial import instances as factorial
from causalopt.problems.robust.z import instances as robust_z
from causalopt.problems.synthetic_control import instances as synthetic_control


def family(problem, stem, make, sizes, paths=(), formulations=(None,), **more):
    return [
        Instance(f"{stem}-{n}", partial(make, n), problem, formulations, size=n, seed=0, paths=paths, **more)
        for n in sizes
    ]


def balance_20(n):
    return balance.generated(n, 20)


def copula_pairs(n):
    return copula.matched_pairs(n, seed=0)


def copula_complete(n):
    return copula.complete(n, n // 2, seed=0)


SUITE = Suite(
    name="scale",
    description="Each problem over five sizes and more, to where each method stops.",
    time_limit=60.0,
    memory_limit=8.0,
    repetitions=3,
    instances=[
        *family("balance", "balance", balance_20, (500, 2_000, 8_000, 32_000, 128_000, 512_000), ["dual-newton"]),
        *family("assignment LP", "assignment", assignment.program, (25, 50, 100, 200, 400)),
        *family("assignment", "assignment-problem", assignment.problem, (25, 50, 100, 200, 400, 800), ["hungarian"]),
        *family(
            "robust Z", "robust-z", robust_z.generated, (25, 50, 100, 200, 400), ["parametric", "greedy"],
            ["fractional"],
        ),
        *family(
            "copula, pairs", "copula-pairs", copula_pairs, (10, 20, 40, 80, 160), ["rearrangement", "alternating"],
            ["rlt"],
        ),
        *family(
            "copula, complete", "copula-complete", copula_complete, (8, 12, 16, 24, 32, 48),
            ["rearrangement", "alternating"], ["convex"],
        ),
        *family(
            "synthetic control", "synthetic-control", synthetic_control.generated, (10, 20, 40, 80, 160, 320),
            ["active-set"],
        ),
        *family("factorial", "factorial", factorial.simulation, (250, 500, 1_000, 4_000, 16_000), ["dual-newton"]),
    ],
)  # fmt: skip
