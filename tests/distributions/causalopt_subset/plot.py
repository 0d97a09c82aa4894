"""Pictures of a subset: `causalopt` finds this module beside that of the result's class."""

import causalopt as co
from causalopt.plotting.style import canvas, label, tidy
from causalopt_subset.problem import SubsetResult


def kept_plot(result: SubsetResult, ax=None):
    """Draw how many controls are kept, and how many are not."""
    ax = canvas(ax)
    ax.bar(["kept", "left out"], [len(result.kept), len(result.labels) - len(result.kept)])
    label(ax, y="controls")
    return tidy(ax)


co.draws(SubsetResult, {"kept": kept_plot})
