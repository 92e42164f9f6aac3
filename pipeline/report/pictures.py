"""The report's pictures, as SVG without date or random ids: what was made from what, losses, behaviours, gains, sizes."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any, NamedTuple

import matplotlib as mpl
import networkx as nx

BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y = 132, 40, 48, 14


def graph(edges: Sequence[tuple[str, str]], hashes: Mapping[str, str], *, final: str) -> str:
    """Boxes with names and hashes, inputs to the left of what was made from them. ``final`` stands out."""
    tree: Any = nx.DiGraph(sorted(edges))
    tree.add_nodes_from(sorted(hashes))
    layers = [sorted(layer) for layer in nx.topological_generations(tree)]
    at = {
        name: (x * (BOX_WIDTH + GAP_X) + 1, y * (BOX_HEIGHT + GAP_Y) + 1)
        for x, layer in enumerate(layers)
        for y, name in enumerate(layer)
    }
    width = max(x for x, _ in at.values()) + BOX_WIDTH + 1
    height = max(y for _, y in at.values()) + BOX_HEIGHT + 1
    lines = [
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="what was made from what">'
    ]
    for source, target in sorted(nx.transitive_reduction(tree).edges):
        (x, y), (u, v) = at[source], at[target]
        x, y, v = x + BOX_WIDTH, y + BOX_HEIGHT / 2, v + BOX_HEIGHT / 2
        lines.append(f'<path d="M{x} {y} C{x + GAP_X / 2} {y} {u - GAP_X / 2} {v} {u} {v}" class="edge"/>')
    for name, (x, y) in sorted(at.items()):
        kind, shown = "box chosen" if name == final else "box", escape(hashes.get(name, ""))
        lines.append(
            f'<g><title>{escape(name)} {shown}</title><rect x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" '
            f'rx="5" class="{kind}"/><text x="{x + 8}" y="{y + 17}">{escape(_short(name))}</text>'
            f'<text x="{x + 8}" y="{y + 32}" class="hash">{escape(hashes.get(name, "")[:12])}</text></g>'
        )
    return "\n".join([*lines, "</svg>"])


def _short(name: str) -> str:
    """The end of a path, as much as fits into a box."""
    name = name.removeprefix("checkpoints/")
    return name if len(name) <= 18 else f"…{name[-17:]}"


def losses(tables: Sequence[tuple[str, Sequence[Mapping[str, str]]]]) -> str:
    """Loss of every training over its steps."""
    with figure(max(1, len(tables))) as (axes, out):
        for axis, (name, table) in zip(axes, tables, strict=False):
            for column in sorted(c for c in table[0] if c.startswith("loss/")):
                points = [(int(point["step"]), float(point[column])) for point in table if point[column]]
                axis.plot(
                    *zip(*points, strict=True), ".-", linewidth=1, markersize=3, label=plain(column.removeprefix("loss/"))
                )
            axis.set(title=plain(name), xlabel="step", ylabel="loss")
            axis.legend(frameon=False, fontsize=8)
    return out[0]


def behaviours(measured: Mapping[str, Mapping[str, Any]]) -> str:
    """A line for each row of those that were measured along numbers; nothing where there is none."""
    drawn = {name: one for name, one in sorted(measured.items()) if len(one["at"]) > 1 and isinstance(one["at"][0], int)}
    if not drawn:
        return ""
    with figure(len(drawn)) as (axes, out):
        for axis, (name, one) in zip(axes, drawn.items(), strict=True):
            places = range(len(one["at"]))
            for row, values in one["rows"].items():
                axis.plot(places, values, ".-", linewidth=1, markersize=4, label=plain(row))
            values = [value for row in one["rows"].values() for value in row]
            axis.set(title=plain(name), xlabel=plain(one["axis"]), ylim=(min(0, *values), 1.03 * max(1, *values)))
            axis.set_xticks(places, [str(value) for value in one["at"]])
            if len(one["rows"]) > 1:
                axis.legend(frameon=False, fontsize=8)
            else:
                axis.set_ylabel(plain(next(iter(one["rows"]))))
    return out[0]


class Point(NamedTuple):
    """A model: what it kept abroad, what it gained at home, and whether it stands out."""

    name: str
    kept: float
    gain: float
    final: bool


def against(points: Sequence[Point], margin: float | None) -> str:
    """Gain at home over what was kept; a line at the ``margin``. The final model stands out."""
    with figure(1, width=6.2, height=3.4) as ((axis,), out):
        for point in sorted(points):
            axis.scatter([point.kept], [point.gain], s=42 if point.final else 18, c="#0e7490" if point.final else "#5c6b7a")
            axis.annotate(plain(point.name), (point.kept, point.gain), xytext=(4, 3), textcoords="offset points", fontsize=8)
        axis.axhline(0, linewidth=0.6, color="#5c6b7a")
        if margin is not None:
            axis.axvline(margin, linewidth=0.8, linestyle="--", color="#b91c1c")
        axis.set(xlabel="kept: agreement with the model off the shelf abroad", ylabel="gain at home (test)")
        axis.margins(x=0.12, y=0.12)
    return out[0]


class Beside(NamedTuple):
    """A score with the ends of its interval, on the run's own split and on a random one."""

    name: str
    own: tuple[float, float, float]
    random: tuple[float, float, float]


def beside(scores: Sequence[Beside]) -> str:
    """Each score as two points with their intervals, one below the other."""
    with figure(1, width=6.2, height=0.9 + 0.45 * len(scores)) as ((axis,), out):
        for side, shift, colour, label in (("own", 0.12, "#0e7490", "own split"), ("random", -0.12, "#b45309", "random split")):
            values = [getattr(one, side) for one in scores]
            ends = [[value - low for value, low, _ in values], [high - value for value, _, high in values]]
            places = [len(scores) - 1 - i + shift for i in range(len(scores))]
            axis.errorbar(
                [value for value, _, _ in values], places, xerr=ends, fmt="o", markersize=5, color=colour, label=label
            )
        axis.set_yticks(range(len(scores)), [plain(one.name) for one in reversed(scores)])
        axis.set(xlabel="score on test rows", ylim=(-0.6, len(scores) - 0.4))
        axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return out[0]


def plain(text: str) -> str:
    """``text`` as matplotlib shows it letter by letter: between two dollar signs it would read a formula."""
    return text.replace("$", r"\$")


class Sized(NamedTuple):
    """A form: bytes of a vector in it, and the change of a score with the ends of its interval."""

    name: str
    bytes: int
    change: float
    low: float
    high: float


def curve(measured: Mapping[str, Sequence[Sized]]) -> str:
    """Change of a score over the bytes of a vector, an axis for each collection; the line at 0 is the model itself."""
    with figure(len(measured), width=4.2, height=3.2) as (axes, out):
        for axis, (name, forms) in zip(axes, measured.items(), strict=True):
            ordered = sorted(forms, key=lambda form: (form.bytes, form.name))
            ends = [[form.change - form.low for form in ordered], [form.high - form.change for form in ordered]]
            places = [form.bytes for form in ordered]
            axis.errorbar(
                places, [form.change for form in ordered], yerr=ends, fmt="o", markersize=4, linewidth=0.8, color="#0e7490"
            )
            for form in ordered:
                axis.annotate(
                    plain(form.name), (form.bytes, form.change), xytext=(4, 3), textcoords="offset points", fontsize=7
                )
            axis.axhline(0, linewidth=0.6, color="#5c6b7a")
            axis.set_xscale("log", base=2)
            axis.set_xticks(sorted(set(places)), [str(place) for place in sorted(set(places))], fontsize=7)
            axis.minorticks_off()
            axis.set(title=plain(name), xlabel="bytes of a vector", ylabel="change of the score (test)")
            axis.margins(x=0.15)
    return out[0]


class Member(NamedTuple):
    """A model: bytes of its weights, weights that a token meets, tokens that it reads (None: not known), its score, and whether it is the
    one to take."""

    name: str
    bytes: int
    per_token: int
    longest: int | None
    score: float
    best: bool


def family_of(members: Sequence[Member]) -> str:
    """Score over size, over what a token costs, and over length; those to take are filled."""
    axes_of = (
        ("bytes", "MB of weights", 1e6),
        ("per_token", "weights a token meets", 1),
        ("longest", "tokens that it reads", 1),
    )
    with figure(len(axes_of), width=3.8, height=3.2) as (axes, out):
        for axis, (key, label, unit) in zip(axes, axes_of, strict=True):
            for member in sorted(members):
                if (place := getattr(member, key)) is None:
                    continue
                place, filled = place / unit, "#0e7490" if member.best else "none"
                axis.scatter([place], [member.score], s=28, facecolors=filled, edgecolors="#0e7490")
                axis.annotate(plain(member.name), (place, member.score), xytext=(4, 3), textcoords="offset points", fontsize=7)
            axis.set(xscale="linear" if key == "bytes" else "log", xlabel=label, ylabel="mean over tasks (test)")
            axis.margins(x=0.2, y=0.12)
    return out[0]


@contextmanager
def figure(number: int, *, width: float = 3.1, height: float = 2.3) -> Iterator[tuple[Any, list[str]]]:
    """``number`` axes side by side, each of so many inches. Behind the block, the list holds the SVG."""
    mpl.use("svg")
    from matplotlib import pyplot as plt

    out: list[str] = []
    with mpl.rc_context({"svg.hashsalt": "tributary", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        drawn, axes = plt.subplots(1, number, figsize=(width * number, height), squeeze=False, layout="constrained")
        yield axes[0], out
        text = io.StringIO()
        drawn.savefig(text, format="svg", metadata={"Date": None})
        plt.close(drawn)
    out.append("<svg" + text.getvalue().partition("<svg")[2])
