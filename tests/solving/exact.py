"""Optima of small programs in exact fractions: a route of its own to every status, without tolerances.

A rational simplex method with Bland's rule for linear programs, every active set for convex quadratic ones, and every
whole value for integer columns. A number of 1e20 or more is infinite, as everywhere.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, product
from math import ceil, floor

from causalopt import Program

INFINITE = 1e20
INFEASIBLE, UNBOUNDED = "infeasible", "unbounded"

Vector = list[Fraction]


def optimum(program: Program) -> Fraction | str:
    """Return the optimal value, or "infeasible" or "unbounded"; integer columns need finite bounds."""
    sign = -1 if program.maximize else 1
    cost = [sign * Fraction(float(v)) for v in program.c]
    n = len(cost)
    quadratic = [[Fraction(0)] * n for _ in range(n)]
    if program.Q is not None:
        entries = program.Q.tocoo()
        for i, j, value in zip(entries.row, entries.col, entries.data, strict=True):
            quadratic[i][j] = quadratic[j][i] = sign * Fraction(float(value))
    rows = [
        ([Fraction(float(v)) for v in row], _side(low), _side(high))
        for row, low, high in zip(program.A.toarray(), program.row_lower, program.row_upper, strict=True)
    ]
    bounds = [(_side(low), _side(high)) for low, high in zip(program.lower, program.upper, strict=True)]
    whole = [j for j in range(n) if program.integer[j]]
    choices = []
    for j in whole:
        low, high = bounds[j]
        assert low is not None and high is not None and high - low <= 50, "integer columns are enumerated"
        choices.append([Fraction(v) for v in range(ceil(low), floor(high) + 1)])
    best: Fraction | str = INFEASIBLE
    for values in product(*choices):
        fixed = dict(zip(whole, values, strict=True))
        found = _continuous(cost, quadratic, rows, bounds, fixed)
        if found == UNBOUNDED:
            return UNBOUNDED
        if found != INFEASIBLE and (best == INFEASIBLE or found < best):
            best = found
    return best if isinstance(best, str) else sign * best + Fraction(float(program.constant))


def _side(value: float) -> Fraction | None:
    return None if abs(value) >= INFINITE else Fraction(float(value))


def _continuous(cost, quadratic, rows, bounds, fixed):
    """Solve over the columns that are not fixed."""
    free = [j for j in range(len(cost)) if j not in fixed]
    constant = sum((cost[j] * v for j, v in fixed.items()), Fraction(0))
    constant += sum((quadratic[i][j] * v * w for i, v in fixed.items() for j, w in fixed.items()), Fraction(0)) / 2
    c = [cost[j] + sum((quadratic[j][i] * v for i, v in fixed.items()), Fraction(0)) for j in free]
    q = [[quadratic[i][j] for j in free] for i in free]
    system = []
    for coefficients, low, high in rows:
        shift = sum((coefficients[j] * v for j, v in fixed.items()), Fraction(0))
        left = [coefficients[j] for j in free]
        low, high = None if low is None else low - shift, None if high is None else high - shift
        if not any(left):
            if (low is not None and low > 0) or (high is not None and high < 0):
                return INFEASIBLE
            continue
        system.append((left, low, high))
    for k, j in enumerate(free):
        low, high = bounds[j]
        if low is not None and high is not None and low > high:
            return INFEASIBLE
        system.append(([Fraction(int(k == i)) for i in range(len(free))], low, high))
    if not free:
        return constant
    solve = _quadratic if any(any(row) for row in q) else _linear
    found = solve(c, q, system)
    return found if isinstance(found, str) else found + constant


def _linear(c: Vector, _q, system) -> Fraction | str:
    """Two phases of the simplex method on  min c'x,  every x split into two that are not negative."""
    n = len(c)
    sides = []  # (row, right side), meaning row x <= right side
    for left, low, high in system:
        if high is not None:
            sides.append((left, high))
        if low is not None:
            sides.append(([-v for v in left], -low))
    m = len(sides)
    width = 2 * n + m  # x+, x-, slacks
    table, basis = [], []
    artificial = 0
    for i, (left, right) in enumerate(sides):
        row = [*left, *(-v for v in left), *(Fraction(int(i == k)) for k in range(m))]
        if right < 0:
            row, right = [-v for v in row], -right
            artificial += 1
            basis.append(-artificial)
        else:
            basis.append(2 * n + i)
        table.append([*row, right])
    basis = [width - b - 1 if b < 0 else b for b in basis]
    for i, row in enumerate(table):
        extra = [Fraction(int(basis[i] == width + k)) for k in range(artificial)]
        table[i] = [*row[:-1], *extra, row[-1]]
    first = [Fraction(0)] * width + [Fraction(1)] * artificial
    value = _simplex(table, basis, first, width + artificial)
    assert value != UNBOUNDED
    if value > 0:
        return INFEASIBLE
    for i, b in enumerate(basis):  # artificial columns that stay at zero leave the basis where they can
        if b >= width:
            enter = next((j for j in range(width) if table[i][j]), None)
            if enter is not None:
                _pivot(table, basis, i, enter)
    second = [*c, *(-v for v in c), *([Fraction(0)] * (m + artificial))]
    return _simplex(table, basis, second, width)


def _simplex(table, basis, cost, allowed: int) -> Fraction | str:
    price = [*cost, Fraction(0)]  # reduced costs, and minus the value
    for i, row in enumerate(table):
        if cost[basis[i]]:
            price = [p - cost[basis[i]] * a for p, a in zip(price, row, strict=True)]
    while True:
        enter = next((j for j in range(allowed) if price[j] < 0), None)
        if enter is None:
            return -price[-1]
        ratios = [(row[-1] / row[enter], basis[i], i) for i, row in enumerate(table) if row[enter] > 0]
        if not ratios:
            return UNBOUNDED
        leave = min(ratios)[2]
        _pivot(table, basis, leave, enter)
        price = [p - price[enter] * a if a else p for p, a in zip(price, table[leave], strict=True)]


def _pivot(table, basis, i: int, j: int) -> None:
    divisor = table[i][j]
    table[i] = [v / divisor for v in table[i]]
    for k, row in enumerate(table):
        if k != i and row[j]:
            factor = row[j]
            table[k] = [a - factor * b for a, b in zip(row, table[i], strict=True)]
    basis[i] = j


def _quadratic(c: Vector, q, system) -> Fraction | str:
    """Try every active set of a convex quadratic program: a point that meets the conditions is optimal."""
    n = len(c)
    equalities = [(left, low) for left, low, high in system if low is not None and low == high]
    equal = _independent(equalities)
    sides = [(left, high) for left, low, high in system if high is not None and low != high]
    sides += [([-v for v in left], -low) for left, low, high in system if low is not None and low != high]
    for size in range(n - len(equal) + 1):
        for active in combinations(sides, size):
            tight = [*equal, *active]
            matrix = [[*q[i], *(left[i] for left, _ in tight)] for i in range(n)]
            matrix += [[*left, *([Fraction(0)] * len(tight))] for left, _ in tight]
            answer = _solve(matrix, [*(-v for v in c), *(right for _, right in tight)])
            if answer is None:
                continue
            x, multipliers = answer[:n], answer[n + len(equal) :]
            inside = all(sum(a * v for a, v in zip(left, x, strict=True)) <= right for left, right in sides)
            inside &= all(sum(a * v for a, v in zip(left, x, strict=True)) == right for left, right in equalities)
            if inside and all(v >= 0 for v in multipliers):
                linear = sum(a * v for a, v in zip(c, x, strict=True))
                return linear + sum(x[i] * q[i][j] * x[j] for i in range(n) for j in range(n)) / 2
    return INFEASIBLE if _is_empty(system, n) else UNBOUNDED


def _independent(equalities):
    """Return the equalities whose rows do not follow from those before them."""
    kept, reduced = [], []
    for left, right in equalities:
        rest = list(left)
        for pivot, row in reduced:
            factor = rest[pivot]
            rest = [a - factor * b for a, b in zip(rest, row, strict=True)]
        pivot = next((j for j, value in enumerate(rest) if value), None)
        if pivot is not None:
            reduced.append((pivot, [value / rest[pivot] for value in rest]))
            kept.append((left, right))
    return kept


def _is_empty(system, n: int) -> bool:
    return _linear([Fraction(0)] * n, None, system) == INFEASIBLE


def _solve(matrix, right) -> Vector | None:
    """Solve a square system, None where it is singular."""
    n = len(matrix)
    rows = [[*matrix[i], right[i]] for i in range(n)]
    for k in range(n):
        pivot = next((i for i in range(k, n) if rows[i][k]), None)
        if pivot is None:
            return None
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [v / rows[k][k] for v in rows[k]]
        for i in range(n):
            if i != k and rows[i][k]:
                factor = rows[i][k]
                rows[i] = [a - factor * b for a, b in zip(rows[i], rows[k], strict=True)]
    return [row[-1] for row in rows]
