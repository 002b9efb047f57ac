"""docs/performance.md from what was measured: targets first, then where we lose, then the sections."""
import json, os, traceback

from .page import page

HEAD = """# Performance

Written by `bench/run`; figures and text of a section come from `bench/sections/`, what was measured is kept in
`bench/baselines/`. Absolute times on a shared machine drift from hour to hour, so what is compared was measured in turn,
round by round, in the same run: ratios are medians of the rounds' own ratios. A figure is the median, lowest and highest
in brackets. Why things are as they are, and what was tried and did not win: [docs/decisions](decisions).

```sh
bench/run                     # all of it, from a fresh checkout: packages, build, measure, this document
bench/run --only load,token   # these sections again; the others keep their figures
bench/run --quick             # everything once with tiny numbers, to see that it works (below build/ only)
bench/run --report            # this document again, from bench/baselines
```
"""


MARKS = ("<!-- numbers -->", "<!-- /numbers -->")


def write(path, modules, saved, notes, readme=None):
    """`modules`: the sections in order; `saved`: what each measured; `notes`: why one has nothing new.
    The names of those that could not be written: of figures that an older section kept, most often."""
    folder = os.path.dirname(path)
    pages, failed = [], []
    for module in modules:
        if module.name in saved:
            made = page(module.name, module.TITLE, folder)
            try:
                module.report(saved[module.name]["data"], made)
                pages.append(made)
            except Exception:
                traceback.print_exc()
                failed.append(module.name)
                notes = {**notes, module.name: "what is kept of it cannot be written; measure it again."}
    lines = [HEAD, *machine_lines(saved), *target_lines(pages), *loss_lines(pages),
             *missing_lines(modules, saved, notes)]
    for made in pages:
        taken = saved[made.section]
        lines += [f"## {made.title}", "", *made.lines]
        lines += ["<details><summary>Commands</summary>", "", "```sh",
                  *(taken["commands"] or [f"bench/run --only {made.section}"]), "```", "",
                  f"Section `{made.section}`: {taken['date']}, commit {taken['commit']}, {taken['rounds']} rounds, "
                  f"{taken['seconds']:.0f} s, load before the start {taken['load']}.", "", "</details>", ""]
    with open(path, "w") as out:
        out.write("\n".join(lines).rstrip() + "\n")
    if readme:
        write_headlines(readme, pages, saved)
    return failed


def write_headlines(readme, pages, saved):
    """The few figures of README.md, between its marks."""
    rows = [line for made in pages for line in made.headlines]
    targets = [target for made in pages for target in made.targets]
    if not rows:
        return
    places = {taken["machine"]["cpu"] + ", kernel " + taken["machine"]["kernel"] for taken in saved.values()}
    lines = [MARKS[0], "[docs/performance.md](docs/performance.md) has all of them, the targets "
             f"({sum(t[3] for t in targets)} of {len(targets)} met) and where we lose; `bench/run` measures them again and writes "
             "it and this table.", f"{'; '.join(sorted(places))}, PostgreSQL and clients on the same machine; median (lowest–highest) "
             "of interleaved rounds.", "", "| what | figure |", "|---|---|"]
    lines += [f"| {what} | {figure} |" for what, figure in rows]
    with open(readme) as file:
        text = file.read()
    before, _, rest = text.partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    with open(readme, "w") as out:
        out.write(before + "\n".join(lines) + "\n" + MARKS[1] + after)


def machine_lines(saved):
    """Where the sections were measured; most often all on one machine."""
    places = {}
    for name, taken in saved.items():
        places.setdefault(json.dumps(taken["machine"], sort_keys=True), []).append(name)
    lines = ["## Machine", ""]
    for text, names in places.items():
        m = json.loads(text)
        who = "" if len(places) == 1 else f"**{', '.join(sorted(names))}**: "
        versions = ", ".join(f"{k} {v}" for k, v in m["versions"].items())
        lines += [f"{who}{m['cpu']}, {m['memory_gib']:g} GiB, {m['system']}, kernel {m['kernel']}. {versions}.", ""]
    lines += ["Servers, clients and PostgreSQL share these processors.", ""]
    busy = [f"{name} ({taken['load']})" for name, taken in saved.items() if taken["load"] > 0.5]
    if busy:
        lines += ["Load above 0.5 before the start: " + ", ".join(busy) + ". "
                  "(Part of it may be the build or the section before.)", ""]
    return lines


def target_lines(pages):
    rows = [(made, target) for made in pages for target in made.targets]
    if not rows:
        return []
    met = sum(target[3] for _, target in rows)
    near = sum(target[4] for _, target in rows)
    lines = ["## Targets", "", f"{met} of {len(rows)} are met by the median. Of {near}, met or not, the bound lies within the "
             "scatter of the rounds, and another run may decide otherwise.", "",
             "| path | target | measured | |", "|---|---|---|---|"]
    for _, (what, bound, found, good, scatter) in rows:
        verdict = ("met" if good else "**missed**") + (", within the scatter" if scatter else "")
        lines.append("| " + " | ".join((what.replace("|", "\\|"), bound, found, verdict)) + " |")
    return lines + [""]


def loss_lines(pages):
    rows = [(made.title, sentence) for made in pages for sentence in made.losses]
    lines = ["## Where we lose", ""]
    return lines + [f"- {title}: {sentence}" for title, sentence in rows] + [""] if rows else []


def missing_lines(modules, saved, notes):
    rows = [f"- {module.TITLE}: {notes[module.name]}" for module in modules if module.name in notes]
    rows += [f"- {module.TITLE}: not measured yet (`bench/run --only {module.name}`)." for module in modules
             if module.name not in saved and module.name not in notes]
    for name, taken in saved.items():
        rows += [f"- {what}: {reason}" for what, reason in taken.get("missing", [])]
    return ["## What did not run here", "", *rows, ""] if rows else []
