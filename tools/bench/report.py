# SPDX-License-Identifier: Apache-2.0
"""
What a benchmark hands back, and how it is shown: as a table, as JSON, as a picture.

    Report.figures    name of a figure -> Figure (unit, decimals)
    Report.results    one Result per contestant: figure name -> samples, None for one not taken
    Report.ratios     which figure of whom is compared with whose

Samples of the same position in two lists were taken side by side.
"""
import dataclasses
import json

import host
import picture
import stats

RATIO_KEYS = ("median", "p10", "p90", "quiet")  # as stats.ratio() explains them


@dataclasses.dataclass
class Figure:
    """`heading` is the table's; values are kept in `unit`."""
    heading: str
    unit: str
    decimals: int = 0


@dataclasses.dataclass
class Result:
    name: str
    command: list
    samples: dict = dataclasses.field(default_factory=dict)
    failure: str = None

    def summary(self, figure):
        return stats.summary(self.samples.get(figure, []))


@dataclasses.dataclass
class Report:
    benchmark: str
    title: str
    figures: dict
    results: list
    ratios: list              # (figure, of, to)
    bar: list                 # the figures that make up a contestant's bar in the picture
    runs: int
    versions: dict
    machine: dict
    missing: list
    notes: list
    by_figure: bool = False   # the table has a row for each figure, as where there are many
    date: str = dataclasses.field(default_factory=host.now)

    def result(self, name):
        return next((result for result in self.results if result.name == name), None)

    def ratio_summaries(self):
        """(figure, of, to, summary) for each ratio whose both sides have been measured."""
        for figure, of, to in self.ratios:
            both = [self.result(of), self.result(to)]
            if all(side and figure in side.samples for side in both):
                summary = stats.ratio(*(side.samples[figure] for side in both))
                if summary:
                    yield figure, of, to, summary


def _cell(result, name, figure):
    summary = result.summary(name)
    if summary is None:
        return "-"
    digits = figure.decimals
    text = f"{summary['median']:.{digits}f}"
    if summary["p10"] != summary["p90"]:
        text += f" ({summary['p10']:.{digits}f}..{summary['p90']:.{digits}f})"
    return text


def _aligned(rows):
    widths = [max(map(len, column)) for column in zip(*rows)]
    for first, *others in rows:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:])]
        yield "  ".join(cells).rstrip()


def _header_lines(report):
    machine = report.machine
    yield f"{report.title}"
    yield ""
    yield (f"machine   {machine['cpu']}, {machine['cores']} cores, "
           f"Linux {machine['kernel']}, KVM: {machine['kvm']}")
    yield f"date      {report.date}, load average {machine['load_average']}"
    for name, version in report.versions.items():
        yield f"version   {name}: {version}"
    if report.missing:
        yield f"not found {', '.join(report.missing)} (put it on PATH to compare with it)"
    yield ""


def _table_lines(report):
    columns = [["median (p10..p90)"]
               + [f"{figure.heading}, {figure.unit}" if figure.unit else figure.heading
                  for figure in report.figures.values()]]
    for result in report.results:
        if not result.failure:
            columns.append([result.name] + [_cell(result, name, figure)
                                            for name, figure in report.figures.items()])
    yield from _aligned(list(zip(*columns)) if report.by_figure else columns)
    for result in report.results:
        if result.failure:
            yield f"{result.name}: failed: {result.failure}"


def _ratio_lines(report):
    rows = [["ratio", *RATIO_KEYS, "1/median"]]
    for figure, of, to, summary in report.ratio_summaries():
        rows.append([f"{report.figures[figure].heading}: {of} / {to}",
                     *(f"{summary[key]:.3f}" for key in RATIO_KEYS),
                     f"{1 / summary['median']:.1f}"])
    if len(rows) > 1:
        yield ""
        yield from _aligned(rows)


def text(report):
    lines = [*_header_lines(report), *_table_lines(report), *_ratio_lines(report)]
    if report.notes:
        lines += ["", *report.notes]
    return "\n".join(lines) + "\n"


def to_json(report):
    results = []
    for result in report.results:
        entry = {"name": result.name, "command": result.command}
        if result.failure:
            entry["failure"] = result.failure
        entry["figures"] = {
            name: {"unit": figure.unit, **summary}
            for name, figure in report.figures.items() if (summary := result.summary(name))}
        results.append(entry)
    ratios = [
        {"figure": figure, "of": of, "to": to,
         **{key: summary[key] for key in RATIO_KEYS}}
        for figure, of, to, summary in report.ratio_summaries()]
    return json.dumps({
        "benchmark": report.benchmark,
        "title": report.title,
        "date": report.date,
        "machine": report.machine,
        "versions": report.versions,
        "missing": report.missing,
        "runs": report.runs,
        "results": results,
        "ratios": ratios,
        "notes": report.notes,
    }, indent=2) + "\n"


def to_svg(report):
    bars = []
    for result in report.results:
        parts = [(report.figures[name], result.summary(name)) for name in report.bar]
        parts = [(figure, summary) for figure, summary in parts if summary]
        if result.failure or not parts:
            continue
        bars.append(picture.Bar(
            label=result.name,
            parts=[(figure.heading, summary["median"]) for figure, summary in parts],
            # A whisker says something only of a bar that is one figure.
            spread=(parts[0][1]["p10"], parts[0][1]["p90"]) if len(report.bar) == 1 else None))
    machine = report.machine
    figure = report.figures[report.bar[0]]
    caption = (f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, "
               f"KVM: {machine['kvm']}; {report.date}; median of {report.runs} runs")
    return picture.bar_chart(report.title, caption, figure.unit, figure.decimals, bars)
