"""Measures everything and writes docs/performance.md, from a fresh checkout, in one command.

    bench/run [--quick] [--only SECTION,…] [--rounds N] [--report] [--build FOLDER] [--list]

Installs what is missing (scripts/packages, purposes build and bench), builds the preset bench, which has the service,
too, runs the sections (bench/sections/*.py), keeps what each measured in bench/baselines/<section>.json, and writes
docs/performance.md with its plots, and the few figures in README.md, from those. With --rounds 3 that took 24 minutes on 2
cores once it was built and the 10,000 tenants were made (some minutes more the first time); the default is 5 rounds.
Nothing else should run on the machine.

    --quick     everything once with tiny numbers, to see that it works; writes below the build folder only
    --only      measures these sections again; the others keep the figures they have
    --rounds    how often each thing is measured in turn (a section that has its own reason may differ)
    --report    measures nothing, writes the document again
    --build     a build folder that is ready: installs and builds nothing
    --list      names the sections
"""
import argparse, glob, importlib.util, json, os, subprocess, sys, time, traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT + "/bench")
sys.dont_write_bytecode = True
from suite import document, figures, machine  # noqa: E402
from suite.bench import bench, cannot  # noqa: E402


def load_sections():
    found = []
    for path in glob.glob(ROOT + "/bench/sections/*.py"):
        name = os.path.basename(path)[:-3]
        specification = importlib.util.spec_from_file_location("sections_" + name, path)
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        module.name = name
        found.append(module)
    return sorted(found, key=lambda m: (m.ORDER, m.name))


def prepare(sections):
    subprocess.run([ROOT + "/scripts/packages", "--install", "build", "bench"], check=True)
    programs = sorted({"insula"}.union(*(module.PROGRAMS for module in sections)))
    subprocess.run([ROOT + "/scripts/build", "bench", *programs], check=True)


def measure(module, options, described):
    """What is saved; raises what the section raises."""
    with_this = bench(options.build, options.quick, options.rounds)
    load, begun = machine.load(), time.monotonic()
    data = module.measure(with_this)
    return figures.rounded({
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "commit": machine.commit(), "load": load,
        "rounds": with_this.rounds, "seconds": time.monotonic() - begun, "machine": described,
        "commands": with_this.commands, "missing": with_this.missing, "data": data,
    })


def measure_all(chosen, options, baselines):
    """Names of sections that failed, and why some have nothing new."""
    failed, notes = [], {}
    described = machine.describe()
    if machine.load() > machine.BUSY:
        print(f"== The load is {machine.load()}: something else runs here, and figures will scatter")
    for i, module in enumerate(chosen, 1):
        print(f"== [{i}/{len(chosen)}] {module.TITLE} ({module.name})", flush=True)
        try:
            saved = measure(module, options, described)
        except cannot as reason:
            print(f"   cannot run here: {reason}")
            notes[module.name] = str(reason)
            continue
        except KeyboardInterrupt:
            sys.exit(130)
        except Exception:  # the others still run; the end says which failed
            traceback.print_exc()
            failed.append(module.name)
            notes[module.name] = "failed in the last run; figures, if any, are of an earlier one."
            continue
        with open(f"{baselines}/{module.name}.json", "w") as out:
            json.dump(saved, out, ensure_ascii=False, separators=(",", ":"), sort_keys=False)
            out.write("\n")
        print(f"   {saved['seconds']:.0f} s", flush=True)
    return failed, notes


def read_saved(baselines, sections):
    saved = {}
    for module in sections:
        path = f"{baselines}/{module.name}.json"
        if os.path.exists(path):
            with open(path) as file:
                saved[module.name] = json.load(file)
    return saved


def arguments():
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for flag in ("quick", "report", "list"):
        parser.add_argument("--" + flag, action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--build")
    return parser.parse_args()


def main():
    options = arguments()
    sections = load_sections()
    if options.list:
        for module in sections:
            print(f"{module.name:12} {module.TITLE}")
        return 0
    wanted = [name for name in options.only.split(",") if name]
    unknown = set(wanted) - {module.name for module in sections}
    if unknown:
        sys.exit(f"no such section: {', '.join(sorted(unknown))} (bench/run --list)")
    chosen = [] if options.report else [m for m in sections if not wanted or m.name in wanted]
    if chosen and not options.build:
        prepare(chosen)
    options.build = os.path.abspath(options.build or ROOT + "/build/bench")
    target = options.build + "/quick" if options.quick else ROOT + "/docs"
    baselines = options.build + "/quick" if options.quick else ROOT + "/bench/baselines"
    os.makedirs(baselines, exist_ok=True)
    failed, notes = measure_all(chosen, options, baselines) if chosen else ([], {})
    failed += document.write(target + "/performance.md", sections, read_saved(baselines, sections), notes,
                             None if options.quick else ROOT + "/README.md")
    print(f"== {os.path.relpath(target)}/performance.md")
    if failed:
        print("== Failed: " + ", ".join(failed), file=sys.stderr)
    return 1 if failed else 0


sys.exit(main())
