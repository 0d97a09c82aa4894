"""Small random copula problems and their optimum by enumeration, formula by formula."""

import itertools

import numpy as np

import causalopt as co


def enumerated_variance(problem, y, z, name):
    """The largest variance over every imputation that meets the marginal constraints, from first principles."""
    n = len(y)
    assignments, probability = problem.design.enumerate(n)
    p = problem.design.probabilities(n)
    supports = [np.unique(y[z]) if not z[i] else np.unique(y[~z]) for i in range(n)]
    missing = np.array(list(itertools.product(*supports)))
    missing = missing[within(missing, y, z, p, name, problem.slack)]
    c = problem.estimator.weights(assignments, p)
    kept = np.isfinite(c).all(axis=1)
    c, assignments, probability = c[kept], assignments[kept], probability[kept] / probability[kept].sum()
    observed = assignments == z
    tau = (c * observed) @ y + missing @ (c * ~observed).T
    mean = tau @ probability
    return ((tau - mean[:, None]) ** 2 @ probability).max(), len(missing)


def within(missing, y, z, p, name, slack):
    """Which imputations (rows) meet the marginal constraints, as the sources write them."""
    n = len(z)
    inside = np.ones(len(missing), dtype=bool)
    for arm in (1, 0):
        seen = z if arm else ~z
        values = np.where(seen, y, missing)
        for k in np.unique(y[seen]):
            is_k = values == k
            if name == "difference-in-means":
                difference = np.abs(is_k[:, seen].mean(axis=1) - is_k[:, ~seen].mean(axis=1))
            else:
                difference = np.abs(is_k @ (z / p - (~z) / (1 - p))) / n
            inside &= difference <= slack + 1e-9
    return inside


DESIGNS = ("complete", "unequal arms", "bernoulli", "unequal p", "pairs", "stratified", "cluster", "rerandomized")
ESTIMATORS = ("difference-in-means", "horvitz-thompson", "hajek", "residualised", "least-squares")


def random_design(rng, kind, n):
    if kind == "complete":
        return co.CompleteRandomization(n // 2)
    if kind == "unequal arms":
        return co.CompleteRandomization(n // 2 - 1)
    if kind == "bernoulli":
        return co.Bernoulli(float(rng.uniform(0.3, 0.7)))
    if kind == "unequal p":
        return co.Bernoulli(rng.choice([0.4, 0.6], size=n))
    if kind == "pairs":
        return co.MatchedPairs(rng.permutation(np.repeat(np.arange(n // 2), 2)))
    if kind == "stratified":
        return co.Stratified(np.repeat([0, 1], [2, n - 2]), {0: 1, 1: (n - 2) // 2})
    if kind == "cluster":
        return co.Cluster(np.arange(n) // 2, n // 4)
    x = rng.normal(size=n)
    return co.Rerandomized(co.CompleteRandomization(n // 2), co.MahalanobisBalance(x, 0.8))


def random_problem(seed, largest=8):
    """A random small problem: (problem, outcomes, treatment, estimator's name)."""
    rng = np.random.default_rng(seed)
    kind = DESIGNS[seed % len(DESIGNS)]
    n = int(rng.choice([size for size in (4, 6, 8) if size <= largest]))
    n = 6 if n == 4 and kind in ("unequal arms", "stratified", "rerandomized") else n
    design = random_design(rng, kind, n)
    z, probability = design.enumerate(n)
    inside = (z.sum(axis=1) > 1) & (z.sum(axis=1) < n - 1)
    z = z[inside][rng.choice(inside.sum(), p=probability[inside] / probability[inside].sum())]
    y = rng.normal(size=n).round(2) if rng.random() < 0.6 else rng.integers(0, 4, size=n).astype(float)
    y = y * 10.0 ** rng.integers(-1, 3)
    name = ESTIMATORS[int(rng.integers(len(ESTIMATORS)))]
    extra = {"covariates": rng.normal(size=n)} if name in ("residualised", "least-squares") else {}
    problem = co.CopulaProblem(y, z.astype(int), design, estimator=name, **extra)
    if rng.random() < 0.4:
        problem = co.CopulaProblem(
            y, z.astype(int), design, estimator=name, slack=problem.smallest_slack + rng.uniform(0, 0.3), **extra
        )
    return problem, y, z, name
