"""One section of docs/performance.md while it is written: text, tables, plots, targets, what was lost."""
import os, shutil, subprocess, tempfile

from . import figures

COLOURS = ("#1f5fa8", "#d1672a", "#3f8f4f", "#8a4fa3", "#7a6a4f", "#b03050", "#2a9d9d", "#777777")


class page:
    def __init__(self, section, title, folder):
        """`folder` is the document's; plots go to its subfolder performance."""
        self.section, self.title, self.folder = section, title, folder
        self.lines, self.targets, self.losses, self.headlines = [], [], [], []

    spread = staticmethod(figures.spread)
    number = staticmethod(figures.number)
    median = staticmethod(figures.median)
    ratios = staticmethod(figures.ratios)

    def text(self, markdown):
        self.lines += [markdown.strip(), ""]

    def table(self, heads, rows):
        cell = lambda value: str(value).replace("|", "\\|").replace("\n", " ")
        self.lines.append("| " + " | ".join(map(cell, heads)) + " |")
        self.lines.append("|" + "---|" * len(heads))
        self.lines += ["| " + " | ".join(map(cell, row)) + " |" for row in rows]
        self.lines.append("")

    def target(self, what, ratios, at_most=None, at_least=None, unit=""):
        """The median decides, and where the bound lies within the scatter, the document says so. `ratios`: one of each
        repetition or round, or a single figure."""
        if (at_most is None) == (at_least is None):
            raise ValueError("a target has one bound: at_most or at_least")
        values = figures.as_list(ratios)
        found = figures.median(values)
        met = found <= at_most if at_most is not None else found >= at_least
        scatter = min(values) < (at_most if at_least is None else at_least) < max(values)
        bound = f"≤ {at_most:g}" if at_most is not None else f"≥ {at_least:g}"
        bound += f" {unit}" if unit else ""
        self.targets.append((what, bound, figures.spread(values, unit), met, scatter))
        if not met:
            self.losses.append(f"{what}: {figures.spread(values, unit)}, wanted {bound}.")

    def lost(self, sentence):
        self.losses.append(sentence)

    def headline(self, what, figure):
        """One of the few that README.md shows, too."""
        self.headlines.append((what, figure))

    def plot(self, name, title, x_label, y_label, series, logx=False, bars=False):
        """`series` is {label: [(x, y), …]}; y may be a list: its median is drawn, with lowest and highest as a bar.
        With `bars` the x are names."""
        file = f"{self.section}-{name}.svg"
        os.makedirs(self.folder + "/performance", exist_ok=True)
        draw(f"{self.folder}/performance/{file}", title, x_label, y_label, series, logx, bars)
        self.lines += [f"![{title}](performance/{file})", ""]


def quoted(text):
    return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def point(y):
    values = figures.as_list(y)
    return figures.median(values), min(values), max(values)


def draw(path, title, x_label, y_label, series, logx, bars):
    if not shutil.which("gnuplot"):
        print(f"gnuplot is missing: {path} stays as it is")
        return
    script = ["set terminal svg size 760,400 dynamic background rgb 'white' font 'sans-serif,13' noenhanced",
              f"set output {quoted(path)}", f"set title {quoted(title)}", f"set xlabel {quoted(x_label)}",
              f"set ylabel {quoted(y_label)}", "set grid ytics lc rgb '#dddddd'", "set border 3", "set tics nomirror",
              "set key outside bottom center horizontal", "set yrange [0:*]", "set decimalsign '.'"]
    script += bar_lines(series) if bars else curve_lines(series, logx)
    with tempfile.NamedTemporaryFile("w", suffix=".gp") as file:
        file.write("\n".join(script) + "\n")
        file.flush()
        done = subprocess.run(["gnuplot", file.name], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"gnuplot could not draw {title}: {done.stderr}")


def curve_lines(series, logx):
    lines = ["set offsets graph 0.02, graph 0.02, 0, 0"]
    if logx:
        lines.append("set logscale x")
        lines.append("set xtics (" + ", ".join(
            f"{quoted(f'{x:,}')} {x}" for x in sorted({x for points in series.values() for x, _ in points})) + ")")
    plots = []
    for i, (label, points) in enumerate(series.items()):
        lines.append(f"$d{i} << EOD")
        lines += [f"{x} {' '.join(map(str, point(y)))}" for x, y in points]
        lines.append("EOD")
        plots.append(f"$d{i} using 1:2:3:4 with yerrorlines lw 2 pt 7 ps 0.6 lc rgb '{COLOURS[i % len(COLOURS)]}' "
                     f"title {quoted(label)}")
    return lines + ["plot " + ", ".join(plots)]


def bar_lines(series):
    names = list(dict.fromkeys(x for points in series.values() for x, _ in points))
    lines = ["set style fill solid 0.85", "set boxwidth 0.9 relative", "set style histogram errorbars gap 1 lw 1",
             "set style data histograms", "set xtics rotate by -20 scale 0"]
    plots = []
    for i, (label, points) in enumerate(series.items()):
        known = dict(points)
        lines.append(f"$d{i} << EOD")
        lines += [quoted(x) + " " + (" ".join(map(str, point(known[x]))) if x in known else "NaN NaN NaN") for x in names]
        lines.append("EOD")
        plots.append(f"$d{i} using 2:3:4:xtic(1) lc rgb '{COLOURS[i % len(COLOURS)]}' title {quoted(label)}")
    if len(series) == 1:
        lines.append("set key off")
    return lines + ["plot " + ", ".join(plots)]
