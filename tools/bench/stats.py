# SPDX-License-Identifier: Apache-2.0
"""Medians and spread, of samples and of ratios between samples that were taken side by side."""
import statistics


def percentile(ordered, percent):
    """The value below which `percent` of a sorted list lies, interpolated between neighbours."""
    position = (len(ordered) - 1) * percent / 100
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def summary(samples):
    """Median and spread of one figure; None stands for a sample that could not be taken."""
    taken = sorted(value for value in samples if value is not None)
    if not taken:
        return None
    return {
        "median": statistics.median(taken),
        "p10": percentile(taken, 10),
        "p90": percentile(taken, 90),
        "samples": list(samples),
    }


def ratio(samples, reference):
    """
    The quotient of two lists of samples, pair by pair: the runs of a pair followed each other, so
    that what disturbed the machine disturbed both. "quiet" is the quotient of the tenth
    percentiles: what the ratio is when nothing disturbs.
    """
    paired = summary([value / base for value, base in zip(samples, reference)
                      if value is not None and base])
    if paired:
        paired["quiet"] = summary(samples)["p10"] / summary(reference)["p10"]
    return paired
