"""Pictures show the data, fit their text, can be told apart in grey, and are never shown by themselves."""

import dataclasses
import importlib
import itertools

import numpy as np
import pandas as pd
import pytest

import causalopt as co
from causalopt.problems.balance.frontier import Frontier

matplotlib = pytest.importorskip("matplotlib", reason="pictures need matplotlib")
matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
from matplotlib import colors  # noqa: E402

from causalopt.plotting import style as plots_style  # noqa: E402
from causalopt.problems.copula.bootstrap import plot as bootstrap_plot  # noqa: E402
from causalopt.problems.factorial import plot as factorial_plots  # noqa: E402
from causalopt.problems.robust.z import plot as robust_z_plot  # noqa: E402
from causalopt.problems.synthetic_control import plot as synthetic_control_plot  # noqa: E402
from causalopt.solving.answer import pictures_of  # noqa: E402

#: Result -> its pictures by kind.
KINDS = {
    co.BalanceResult: pictures_of(co.BalanceResult),
    Frontier: pictures_of(Frontier),
    co.RobustZCurve: pictures_of(co.RobustZCurve),
    co.BootstrapResult: pictures_of(co.BootstrapResult),
    co.FactorialResult: pictures_of(co.FactorialResult),
    co.SyntheticControlResult: pictures_of(co.SyntheticControlResult),
}

#: What the pictures need to be told.
OPTIONS = {
    (co.BalanceResult, "range"): {"outcome": "y", "eta": [0.05, 0.2]},
    (co.FactorialResult, "effects"): {"outcome": "y"},
    (co.SyntheticControlResult, "range"): {"eta": [0.0, 0.1]},
}

#: How many Axes a picture takes, if more than one.
PANELS = {(Frontier, "frontier"): 3, (co.RobustZCurve, "both"): 2}

#: (result, kind, options): each picture that there is.
CASES = [(owner, kind, OPTIONS.get((owner, kind), {})) for owner, pictures in KINDS.items() for kind in pictures]
NAMES = [f"a covariate whose name is long, and which was measured in the year {1960 + k}" for k in range(40)]


@pytest.fixture(autouse=True)
def nothing_is_shown_or_left_open(monkeypatch):
    def show(*_, **__):
        raise AssertionError("a picture was shown")

    monkeypatch.setattr(plt, "show", show)
    plt.close("all")
    yield
    plt.close("all")


def balanced(names, tolerance=0.02, **arguments):
    rng = np.random.default_rng(3)
    x = pd.DataFrame(rng.normal(size=(900, len(names))), columns=names)
    score = x.iloc[:, :3].sum(axis=1) * 0.4
    df = x.assign(t=(rng.random(900) < 1 / (1 + np.exp(1 - score))).astype(int))
    df["y"] = score * 1000 + df["t"] + rng.normal(size=900)
    return co.balance(df, treatment="t", covariates=names, tolerance=tolerance, **arguments)


@pytest.fixture(scope="module")
def results():
    """One result of each class, with long names and 40 covariates where it has any."""
    rng = np.random.default_rng(0)
    balance = balanced(NAMES)
    frontier = balance.problem.frontier([0.0, 0.02, 0.1, 0.3], outcome=balance.data["y"])
    days = pd.DataFrame(
        {"t": np.repeat([0, 1], 40), "y": rng.normal(size=80).round(1) * 1000, "g": rng.integers(0, 4, 80)}
    )
    curve = co.robust_z_test(days, outcome="y", treatment="t", exact=["g"], pairs="curve")
    pairs = np.repeat(np.arange(15), 2)
    design = co.MatchedPairs(pairs)
    treated = design.sample(1, seed=1)[0].astype(int)
    outcome = 1e6 * (rng.normal(size=15)[pairs] + 0.3 * rng.normal(size=30))
    boot = co.causal_bootstrap(outcome, treated, design, method="all", draws=300, studentise=True)
    factors = [f"a factor with a long name, number {k}" for k in range(3)]
    frame = pd.DataFrame(rng.integers(0, 2, (600, 3)), columns=factors)
    for k in range(3):
        frame[f"x{k}"] = rng.normal(size=600) + 0.4 * frame[factors[k]]
    frame["y"] = frame["x0"] + frame[factors[0]] + rng.normal(size=600)
    factorial = co.factorial_balance(frame, factors=factors, covariates=["x0", "x1", "x2"], effects=2)
    states = [f"The Commonwealth of a long-named State, number {k}" for k in range(12)]
    panel = pd.DataFrame(1e5 + 1e4 * rng.normal(size=(20, 12)).cumsum(axis=0), columns=states, index=range(1980, 2000))
    control = co.solve(co.SyntheticControlProblem(panel, states[0], 1993))
    answers = [balance, frontier, curve, boot, factorial, control]
    return {type(answer): answer for answer in answers}


def draw(result, kind, options, width=None):
    """Return the figure and all axes of a picture, its own or in one of this width in inches."""
    count = PANELS.get((type(result), kind), 1)
    if width is None:
        drawn = result.plot(kind, **options)
    else:
        _, given = plt.subplots(count, 1, figsize=(width, 3.4 + 1.2 * count), layout="constrained")
        drawn = result.plot(kind, ax=given, **options)
        assert all(a is b for a, b in zip(np.ravel(drawn), np.ravel(given), strict=True))
    axes = list(np.ravel(drawn))
    assert len(axes) == count
    return axes[0].figure, axes


# ---- all pictures ----


def test_every_result_with_pictures_and_every_kind_is_tested_here():
    with_plot = {
        value
        for name in co.__all__
        if isinstance(value := getattr(co, name), type) and issubclass(value, co.Answer) and pictures_of(value)
    }
    assert with_plot | {Frontier} == set(KINDS)
    for pictures in KINDS.values():
        for kind in pictures:
            assert pictures[kind].__doc__


@pytest.mark.parametrize(("owner", "kind", "options"), CASES, ids=lambda v: getattr(v, "__name__", None))
@pytest.mark.parametrize("width", [None, 6.4, 3.2])
def test_text_is_within_the_figure_and_does_not_overlap(results, owner, kind, options, width):
    figure, axes = draw(results[owner], kind, options, width)
    assert_text_fits(figure, axes)


def assert_text_fits(figure, axes):
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    for ax in axes:
        legend = ax.get_legend()
        ticks = [
            [t for t in axis.get_ticklabels() if t.get_visible() and t.get_text() and inside(t, axis, k, ax)]
            for k, axis in enumerate((ax.xaxis, ax.yaxis))
        ]
        titles = [ax.title, ax._left_title, ax.xaxis.label, ax.yaxis.label, *ax.texts]
        blocks = [t for t in titles if t.get_visible() and t.get_text()]
        for text in [*blocks, *itertools.chain(*ticks), *(legend.get_texts() if legend else [])]:
            assert text.get_fontsize() >= plots_style.SMALLEST_TEXT
            box = text.get_window_extent(renderer)
            x0, y0, x1, y1 = *figure.bbox.min, *figure.bbox.max
            assert box.x0 >= x0 - 1 and box.x1 <= x1 + 1 and box.y0 >= y0 - 1 and box.y1 <= y1 + 1, text
        for labels in ticks:
            boxes = [t.get_window_extent(renderer) for t in labels]
            for (one, first), (two, second) in itertools.combinations(zip(labels, boxes, strict=True), 2):
                assert not overlap(first, second), (one, two)
        apart = [t.get_window_extent(renderer) for t in blocks if t not in ax.texts]
        apart += [legend.get_window_extent(renderer)] if legend else []
        apart += [t.get_window_extent(renderer) for t in itertools.chain(*ticks)]
        for k, first in enumerate(apart):
            for second in apart[k + 1 :]:
                assert not overlap(first, second), (ax.get_title(loc="left"), first, second)


def inside(text, axis, k, ax):
    low, high = sorted(ax.get_xlim() if k == 0 else ax.get_ylim())
    return low - 1e-9 <= text.get_position()[k] <= high + 1e-9


def overlap(one, two):
    return min(one.x1, two.x1) - max(one.x0, two.x0) > 1 and min(one.y1, two.y1) - max(one.y0, two.y0) > 1


@pytest.mark.parametrize(("owner", "kind", "options"), CASES, ids=lambda v: getattr(v, "__name__", None))
def test_given_axes_are_drawn_on_and_no_figure_is_made(results, owner, kind, options):
    count = PANELS.get((owner, kind), 1)
    _, given = plt.subplots(1, count)
    before = plt.get_fignums()
    drawn = results[owner].plot(kind, given, **options)
    assert plt.get_fignums() == before
    assert [id(ax) for ax in np.ravel(drawn)] == [id(ax) for ax in np.ravel(given)]
    assert all(ax.has_data() or ax.texts for ax in np.ravel(given))


@pytest.mark.parametrize("owner", KINDS, ids=lambda v: v.__name__)
def test_a_wrong_kind_option_or_axes_is_refused_with_what_exists(results, owner):
    result, pictures = results[owner], KINDS[owner]
    with pytest.raises(co.OptionError) as error:
        result.plot("lvoe")
    assert all(repr(kind) in str(error.value) for kind in pictures)
    figure, axes = plt.subplots()
    with pytest.raises(co.OptionError, match="by name, ax="):
        result.plot(axes)
    kind = next(kind for kind in pictures if (owner, kind) not in PANELS)
    with pytest.raises(co.DataError, match="is a Figure"):
        result.plot(kind, ax=figure, **OPTIONS.get((owner, kind), {}))
    with pytest.raises(co.OptionError, match="'nonsense'"):
        result.plot(kind, nonsense=1)


def test_the_wrong_number_of_axes_is_refused(results):
    for (owner, kind), count in PANELS.items():
        with pytest.raises(co.DataError, match=f"needs {count} Axes.*1 were given"):
            results[owner].plot(kind, ax=plt.subplots()[1])


def test_without_matplotlib_the_error_says_what_to_install(results, monkeypatch):
    import builtins

    real = builtins.__import__

    def missing(name, *rest):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    for owner, kind, options in CASES:
        with pytest.raises(co.DataError, match=r"pip install 'pycausalopt\[plot\]'"):
            results[owner].plot(kind, **options)


def test_pictures_that_need_an_outcome_say_so(results):
    for owner, kind in ((co.BalanceResult, "range"), (co.FactorialResult, "effects")):
        with pytest.raises(co.DataError, match="needs outcome="):
            results[owner].plot(kind)


# ---- grey, and eyes that do not see all colours ----


def lightness(colour):
    rgb = np.array(colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    y = float(linear @ [0.2126, 0.7152, 0.0722])
    return 116 * y ** (1 / 3) - 16 if y > 0.008856 else 903.3 * y


def test_series_differ_in_lightness_marker_and_dash():
    values = [lightness(mark.colour) for mark in plots_style.SERIES]
    for (k, one), (m, two) in itertools.combinations(enumerate(values), 2):
        assert abs(one - two) >= (12 if max(k, m) < 4 else 7), (k, m, one, two)
    assert max(values) <= 75  # still seen on white
    for field in ("marker", "dash"):
        used = [getattr(mark, field) for mark in plots_style.SERIES]
        assert len(set(used)) == len(used)
    quiet = [lightness(c) for c in (plots_style.FAINT, plots_style.BAND)]
    assert quiet[0] >= lightness(plots_style.INK) + 40 and quiet[1] >= max(values) + 12


@pytest.mark.parametrize(("owner", "kind", "options"), CASES, ids=lambda v: getattr(v, "__name__", None))
def test_labelled_series_of_a_picture_can_be_told_apart_in_grey(results, owner, kind, options):
    _, axes = draw(results[owner], kind, options)
    for ax in axes:
        lines = [line for line in ax.lines if not line.get_label().startswith("_")]
        looks = {}
        for line in lines:
            marker = (line.get_marker(), line.get_markerfacecolor() == "white")
            look = (marker, line.get_linestyle(), str(line._dash_pattern), round(line.get_linewidth(), 1))
            looks.setdefault(line.get_label(), (look, lightness(line.get_color())))
        for (_, one), (_, two) in itertools.combinations(looks.items(), 2):
            assert one[0] != two[0] or abs(one[1] - two[1]) >= 12


# ---- what is drawn is the data ----


def test_love_plot_shows_the_balance_table(results):
    result = results[co.BalanceResult]
    before, after, tolerance = result.plot("love").lines
    table = result.balance_table()[["smd before", "smd after", "tolerance"]].abs().sort_values("smd before")
    for line, column in ((before, "smd before"), (after, "smd after"), (tolerance, "tolerance")):
        np.testing.assert_allclose(line.get_xdata(), table[column])
        np.testing.assert_array_equal(line.get_ydata(), np.arange(40))


def test_love_plot_of_groups_shows_the_worst_and_of_many_covariates_the_least_balanced():
    result = balanced(list("abcdef"), estimand="ATE")
    ax = result.plot("love", most=4)
    worst = result.balance_table()["smd before"].abs().groupby("covariate").max().nlargest(4)
    np.testing.assert_allclose(ax.lines[0].get_xdata()[::-1], worst)
    assert [t.get_text() for t in ax.get_yticklabels()][::-1] == list(worst.index)
    assert "4 least balanced of 6" in " ".join(ax.get_title(loc="left").split())
    assert "worst of the groups" in " ".join(ax.get_xlabel().split())


def test_rows_without_room_for_a_label_are_left_out_and_counted(results):
    _, small = plt.subplots(figsize=(4, 1.5), layout="constrained")
    results[co.BalanceResult].plot("love", ax=small)
    shown = len(small.get_yticks())
    assert shown < 40 and f"{shown} least balanced of 40" in " ".join(small.get_title(loc="left").split())


def test_histogram_of_weights_counts_every_unit():
    result = balanced(list("abcdef"), estimand="ATE", tolerance=0.01)
    ax = result.plot("weights")
    assert len(ax.patches) == 2
    for patch, group in zip(ax.patches, result.problem.groups, strict=True):
        values, edges, _ = patch.get_data()
        own = result.weights.to_numpy()[group.members]
        assert values.sum() == group.size == len(own)
        np.testing.assert_array_equal(values, np.histogram(own, edges)[0])
        assert f"{result.effective_sample_size[group.label]:,.1f}" in patch.get_label()


def test_a_million_weights_are_binned():
    rng = np.random.default_rng(0)
    many = Stand(pd.Series(rng.exponential(size=1_000_000)))
    ax = pictures_of(co.BalanceResult)["weights"](many)
    values, edges, _ = ax.patches[0].get_data()
    assert values.sum() == 1_000_000 and len(edges) == 41


class Stand:
    """A result of one group of all units, as far as the picture of the weights asks."""

    is_optimal = True

    def __init__(self, weights):
        self.weights = weights
        self.study = self
        self.groups = [self]
        self.members, self.size, self.label = np.arange(len(weights)), len(weights), 0
        self.effective_sample_size = pd.Series([weights.sum() ** 2 / (weights @ weights)])


def test_bars_are_the_prices_and_many_are_cut_to_the_dearest(results):
    result = results[co.BalanceResult]
    duals = result.duals
    ax = result.plot("duals")
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches][::-1], 100 * duals["price of 0.01"].head(20))
    binding = int((duals["dual"] > 0).sum())
    title = " ".join(ax.get_title(loc="left").split())
    assert f"{binding} of {len(duals)} tolerances bind, the 20 dearest shown" in title
    two = balanced(list("abc"))
    names = [t.get_text() for t in two.plot("duals").get_yticklabels()]
    binding = two.duals[two.duals["dual"] > 0]
    assert names[::-1] == list(binding["covariate"])


def test_no_binding_tolerance_and_no_multipliers_are_said():
    loose = balanced(list("abc"), tolerance=5.0)
    ax = loose.plot("duals")
    assert not ax.patches and "No tolerance binds" in " ".join(ax.texts[0].get_text().split())
    ax = loose.replace(row_dual=None).plot("duals")
    assert "not known" in " ".join(ax.texts[0].get_text().split())


def test_an_answer_that_is_not_proven_says_so_in_the_title():
    from causalopt.verifying.claims import Reason, Termination

    result = balanced(list("abc"))
    open_one = result.replace(status=Termination(Reason.FEASIBLE))
    for kind in ("love", "weights"):
        assert "not proven" not in result.plot(kind).get_title(loc="left")
        assert "not proven" in " ".join(open_one.plot(kind).get_title(loc="left").split())


def test_frontier_panels_and_prices_are_its_tables(results):
    frontier = results[Frontier]
    solved = frontier.table[frontier.table["status"] == "optimal"].reset_index()
    panels = frontier.plot()
    for ax, column in zip(panels, ("cv", "effective sample size", "estimate"), strict=True):
        np.testing.assert_array_equal(ax.lines[0].get_xdata(), solved["tolerance"])
        np.testing.assert_allclose(ax.lines[0].get_ydata(), solved[column])
        alone = frontier.plot(column)
        np.testing.assert_allclose(alone.lines[0].get_ydata(), solved[column])
    lines = frontier.plot("prices").lines
    dearest = frontier.prices.max().nlargest(6)
    assert {line.get_label() for line in lines} == set(dearest.index)
    for line in lines:
        np.testing.assert_allclose(line.get_ydata(), frontier.prices[line.get_label()])


def test_infeasible_tolerances_are_shaded_and_said():
    table = pd.DataFrame(
        {
            "tolerance": [0.0, 0.1, 0.2],
            "group": 0,
            "status": ["infeasible", "infeasible", "optimal"],
            "cv": [np.nan, np.nan, 1],
        }
    )
    table["effective sample size"] = [np.nan, np.nan, 50.0]
    prices = pd.DataFrame({"x": [0.0]}, index=pd.MultiIndex.from_tuples([(0.2, 0)], names=["tolerance", "group"]))
    frontier = Frontier(table.set_index(["tolerance", "group"]), prices, "dual-newton")
    for ax in frontier.plot():
        shaded = [p for p in ax.patches if p.get_hatch()]
        assert len(shaded) == 1 and shaded[0].get_extents().x1 == pytest.approx(ax.transData.transform((0.1, 0))[0])
    assert "infeasible" in [t.get_text() for t in frontier.plot("cv").get_legend().get_texts()]
    with pytest.raises(co.DataError, match="no estimate: give an outcome"):
        frontier.plot("estimate")
    assert "No tolerance binds" in " ".join(frontier.plot("prices").texts[0].get_text().split())
    none = Frontier(frontier.table.assign(status="infeasible", cv=np.nan), prices.iloc[:0], "dual-newton")
    assert "can be met" in " ".join(none.plot("cv").texts[0].get_text().split())
    none.plot("prices")


def test_the_range_of_the_estimate_is_drawn_at_each_eta(results):
    balance, control = results[co.BalanceResult], results[co.SyntheticControlResult]
    for result, options, range_of, best in (
        (balance, {"outcome": "y"}, lambda eta: balance.estimate_range("y", eta), balance.estimate("y").estimate),
        (control, {}, control.att_range, control.att),
    ):
        ax = result.plot("range", eta=[0.2, 0.05], **options)
        for k, eta in enumerate((0.05, 0.2)):
            span = range_of(eta)
            assert ax.lines[0].get_xdata()[k] == pytest.approx(100 * eta)
            assert ax.lines[0].get_ydata()[k] == pytest.approx(span.upper)
            assert ax.lines[1].get_ydata()[k] == pytest.approx(span.lower)
        assert best in [pytest.approx(line.get_ydata()[0]) for line in ax.lines]
        with pytest.raises(co.DataError, match="eta is empty"):
            result.plot("range", eta=[], **options)


def test_a_range_with_a_gap_or_without_limit_is_marked():
    from causalopt.plotting.ranges import draw_range
    from causalopt.problems.synthetic_control.result import EffectRange

    spans = [EffectRange(1.0, 2.0, 0.1, 0.0), EffectRange(0.5, 2.5, 0.2, 0.3)]
    ax = draw_range(plt.subplots()[1], spans, 1.5, "x", "y")
    dotted = [line.get_ydata() for line in ax.lines if line.get_linestyle() == ":"]
    np.testing.assert_allclose(dotted, [[2.0, 2.8], [1.0, 0.2]])
    ax = draw_range(plt.subplots()[1], [EffectRange(-np.inf, np.inf, 0.1, 0.0)], 1.5, "x", "y")
    assert "without limit" in ax.texts[0].get_text().replace("\n", " ")


def test_robust_z_envelopes_are_the_curve_and_unproven_points_are_hollow(results):
    curve = results[co.RobustZCurve]
    table = curve.table
    for kind, columns in (("z", ("z_max", "z_min")), ("p", ("p_low", "p_high"))):
        ax = curve.plot(kind)
        for line, column in zip(ax.lines[:2], columns, strict=True):
            values = table[column].to_numpy()
            np.testing.assert_allclose(line.get_ydata(), np.where(np.isfinite(values), values, np.nan))
            np.testing.assert_array_equal(line.get_xdata(), table.index)
        assert not any(line.get_markerfacecolor() == "white" for line in ax.lines)
    changed = table.copy()
    changed["max is"] = ["heuristic" if n % 2 else "exact" for n in table.index]
    ax = dataclasses.replace(curve, table=changed).plot("p")
    hollow = [line for line in ax.lines if line.get_markerfacecolor() == "white" and len(line.get_xdata())]
    assert [list(line.get_xdata()) for line in hollow] == [[n for n in table.index if n % 2]]
    assert "hollow: not proven" in [t.get_text() for t in ax.get_legend().get_texts()]
    assert "not all proven" in " ".join(ax.get_title(loc="left").split())


def test_the_bar_where_pairings_agree_is_open_where_that_is_not_proven(results):
    curve = results[co.RobustZCurve]
    agree = curve.table.assign(p_low=0.5, p_high=0.9, z_min=-1.0, z_max=-0.5)
    for word, label in (("exact", "every pairing decides alike"), ("heuristic", "(not proven)")):
        table = agree.assign(**{"min is": "exact", "max is": word})
        ax = dataclasses.replace(curve, table=table).plot("z")
        (bar,) = ax.patches
        assert label in bar.get_label() and bool(bar.get_hatch()) == (word != "exact")


def test_bootstrap_pictures_show_intervals_and_redrawn_estimates(results):
    boot = results[co.BootstrapResult]
    ax = boot.plot()
    for kind in ("normal", "quantile", "studentised"):
        drawn = [line.get_xdata() for line in ax.lines if line.get_label() == kind and len(line.get_xdata())]
        wanted = boot.table[[f"{kind} lower", f"{kind} upper"]].dropna().to_numpy()
        np.testing.assert_allclose(drawn, wanted)
    ax = boot.plot("distributions")
    assert [patch.get_label() for patch in ax.patches] == list(boot.errors)
    for patch in ax.patches:
        values, edges, base = patch.get_data()
        counts = np.histogram(boot.errors[patch.get_label()], edges)[0]
        assert counts.sum() == 300
        np.testing.assert_allclose((base - values) / 0.8 * counts.max(), counts, atol=1e-9)
    assert "nothing is redrawn" in [t.get_text() for t in ax.texts]


def test_a_worst_case_that_is_not_proven_is_hollow(results):
    from causalopt.verifying.claims import Reason, Termination

    boot = results[co.BootstrapResult]
    open_one = dataclasses.replace(boot, copula=boot.copula.replace(status=Termination(Reason.FEASIBLE)))
    assert not any(line.get_markerfacecolor() == "white" for line in boot.plot().lines)
    ax = open_one.plot()
    assert "hollow: worst case not proven" in [t.get_text() for t in ax.get_legend().get_texts()]
    assert sum(line.get_markerfacecolor() == "white" and len(line.get_xdata()) == 1 for line in ax.lines) == 1
    names = [t.get_text() for t in open_one.plot("distributions").get_yticklabels()]
    assert names[0] == "optimal (not proven)"


def test_factorial_pictures_show_effects_balance_and_cells(results):
    result = results[co.FactorialResult]
    table, ax = result.estimate("y"), result.plot("effects", outcome="y")
    ends = np.array([s[:, 0] for s in ax.collections[0].get_segments()])
    np.testing.assert_allclose(ends, table[["lower", "upper"]])
    np.testing.assert_allclose(ax.lines[1].get_xdata(), table["estimate"])
    cells, ax = result.cells(), result.plot("cells")
    widths = [bar.get_width() for bar in ax.patches]
    np.testing.assert_allclose(widths, [*cells["rows"], *cells["effective sample size"]])
    assert len(ax.get_yticklabels()) == len(cells)
    wide = result.plot("effects", outcome="y", level=0.99)
    assert "99%" in wide.get_xlabel()


def test_synthetic_control_pictures_show_its_series(results):
    result = results[co.SyntheticControlResult]
    path, gap = result.plot("path"), result.plot("gap")
    np.testing.assert_allclose(path.lines[0].get_ydata(), result.synthetic + result.gaps)
    np.testing.assert_allclose(path.lines[1].get_ydata(), result.synthetic)
    np.testing.assert_allclose(gap.lines[1].get_ydata(), result.gaps)
    placebo = result.placebo_in_space()
    ax = result.plot("placebo", placebo=placebo)
    segments = np.array(ax.collections[0].get_segments())
    np.testing.assert_allclose(segments[:, :, 1], placebo.gaps.iloc[:, 1:].T)
    np.testing.assert_allclose(segments[0, :, 0], placebo.gaps.index)
    low, high = ax.get_ylim()
    assert low < placebo.gaps.min().min() and placebo.gaps.max().max() < high


def ranges_drawn(ax):
    return np.array([line[:, 0] for line in ax.collections[0].get_segments()])[::-1]  # from the top


def donors_shown(ax):
    return [text.get_text() for text in ax.get_yticklabels()][::-1]


def test_ranges_of_weights_are_drawn_to_their_ends():
    rng = np.random.default_rng(2)
    b, d = np.exp(rng.normal(size=(2, 8)))
    panel = pd.DataFrame({"a": 8 * b + d, "b": b, "c": b / 8, "d": d})
    own = {"weights": {"nonnegative": True, "no_intercept": True}}
    with pytest.warns(co.CausaloptWarning, match="not unique"):
        result = co.solve(co.SyntheticControlProblem(panel, "a", 5, **own))
    ax = result.plot("weights")
    assert donors_shown(ax) == ["c", "b", "d"]  # 8 b + d = 64 c + d
    np.testing.assert_allclose(ranges_drawn(ax), [[0, 64], [0, 8], [1, 1]], atol=1e-6)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["weights that fit exactly as well"]


@pytest.mark.parametrize("nonnegative", [True, False])
def test_ranges_without_limit_go_beyond_all_bars_and_say_so(nonnegative):
    panel = pd.DataFrame(np.random.default_rng(3).normal(size=(8, 8)).cumsum(axis=0), columns=list("abcdefgh"))
    panel["a"] *= 20
    with pytest.warns(co.CausaloptWarning, match="not unique"):
        result = co.solve(co.SyntheticControlProblem(panel, "a", 4, weights={"nonnegative": nonnegative}))
    ends = result.weight_ranges
    assert np.isinf(ends["upper"]).all() and (ends["lower"] == (0 if nonnegative else -np.inf)).all()
    ax = result.plot("weights")
    bars = np.array([bar.get_width() for bar in ax.patches])[::-1]
    assert np.abs(bars).max() > 2 and (np.diff(np.abs(bars)) <= 0).all()  # ranges as long as each other: by weight
    low, high = ranges_drawn(ax).T
    assert (high > np.abs(bars).max()).all() and (low == 0 if nonnegative else low < -np.abs(bars).max()).all()
    arrows = {line.get_marker(): line.get_xdata() for line in ax.lines if line.get_marker() in "<>"}
    assert set(arrows) == ({">"} if nonnegative else {"<", ">"})
    np.testing.assert_array_equal(arrows[">"], high)
    assert ax.get_xlim()[1] > high.max()
    assert [text.get_text() for text in ax.get_legend().get_texts()][1:] == ["without limit"]


@pytest.mark.parametrize(
    "times",
    [
        [f"the week that begins on day {k}" for k in range(10, 30)],
        pd.date_range("2019-01-01", periods=20, freq="MS"),
        pd.period_range("2015Q1", periods=20, freq="Q"),
        np.arange(20) / 4 + 2001.0,
    ],
    ids=["words", "dates", "periods", "decimals"],
)
@pytest.mark.parametrize("width", [6.4, 3.2])
def test_times_of_every_sort_have_labels_that_do_not_overlap(times, width):
    rng = np.random.default_rng(1)
    panel = pd.DataFrame(rng.normal(size=(20, 8)).cumsum(axis=0), columns=list("abcdefgh"), index=times)
    result = co.solve(co.SyntheticControlProblem(panel, "a", panel.index[14]))
    for kind in ("path", "gap", "placebo"):
        figure, axes = draw(result, kind, {}, width)
        assert_text_fits(figure, axes)
        assert len(axes[0].lines[0].get_xdata()) >= 2


# ---- text ----


def test_names_are_shortened_in_the_middle_and_stay_different():
    names = ["income in 1974, in dollars", "income in 1975, in dollars", "age", "a\nb  c"]
    size = 10.0
    shown = plots_style.short_names(names, 1.0, size)
    assert shown[2:] == ["age", "a b c"] and len(set(shown)) == 4
    assert all(plots_style.text_width(name.removesuffix(" (2)"), size) <= 1.0 for name in shown)
    assert plots_style.short_names(names[:1], 9.0, size) == names[:1]


def test_dollars_in_names_are_no_mathematics():
    result = balanced(["income ($)", "debt ($)", "x_1^2"])
    for kind in ("love", "duals"):
        figure, axes = draw(result, kind, {}, 6.4)
        figure.canvas.draw()
        assert {t.get_text() for t in axes[0].get_yticklabels()} >= {"income ($)", "debt ($)"}


def test_every_module_of_pictures_loads_without_matplotlib():
    import subprocess
    import sys

    modules = [
        pictures_of(co.BalanceResult)["love"].__module__,
        plots_style.__name__,
        bootstrap_plot.__name__,
        factorial_plots.__name__,
    ]
    modules += [robust_z_plot.__name__, synthetic_control_plot.__name__, "causalopt.plotting.ranges"]
    assert all(importlib.import_module(module) for module in modules)
    code = f"import sys, {', '.join(modules)}; print('matplotlib' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
