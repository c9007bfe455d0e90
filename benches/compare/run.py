"""Runs adamant, PyTorch and JAX in turn over the same works, and prints tables of ratios.

    python benches/compare/run.py                 all works and operations
    python benches/compare/run.py NAME…           those whose names contain one of these
    python benches/compare/run.py limits [NAME…]  against the machine's limits; threads; memory
    python benches/compare/run.py profile [NAME…] where the time of adamant's works goes; needs `perf`
    python benches/compare/run.py table           all results so far, as Markdown
    python benches/compare/run.py write           the same, into docs/performance.md

README.md says how to set up PyTorch and JAX. Each result is kept in target/compare/results.json;
`--resume` skips what this commit already has, so that a long run can be cut into parts.
"""

import argparse
import contextlib
import datetime
import io
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys

import works
from works import Work

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RESULTS = ROOT / "target/compare/results.json"
BEGIN, END = "<!-- run.py write: begin -->", "<!-- run.py write: end -->"


class Worker:
    """A process that answers requests with numbers; `None` where it cannot."""

    def __init__(self, command, threads):
        environment = {**os.environ, "RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
        log = open(RESULTS.parent / "stderr.log", "a")
        self.process = subprocess.Popen(
            command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        )
        self.is_installed = self.ask("forget") is not None

    def ask(self, *fields):
        try:
            self.process.stdin.write("\t".join(map(str, fields)) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline().strip()
        except BrokenPipeError:
            return None
        if answer.startswith("error"):
            print(f"  {' '.join(map(str, fields))}: {answer}", file=sys.stderr)
        return None if answer.startswith("error") or not answer else float(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Systems:
    """The workers, started when they are first needed."""

    def __init__(self, args):
        self.args, self.running = args, {}
        build = ["cargo", "bench", "--quiet", "--no-run", "--bench", "compare", "--message-format=json"]
        built = subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
        messages = [json.loads(line) for line in built.splitlines()]
        self.program = next(m["executable"] for m in messages if m.get("executable"))

    def start(self, system, threads=None):
        threads = threads or self.args.threads
        if system == "adamant":
            command = [self.program]
        elif system in ("jax", "scan"):
            command = [self.args.jax, HERE / "jax_worker.py", "call" if system == "jax" else "scan"]
        else:
            command = [self.args.torch, HERE / "torch_worker.py", system, threads]
        return Worker([str(word) for word in command], threads)

    def get(self, system, threads=None):
        key = (system, threads)
        if key not in self.running:
            self.running[key] = self.start(system, threads)
        return self.running[key]

    def alternate(self, columns, rounds, seconds):
        """`columns` are (worker, work); the nanoseconds of each, for each round."""
        times = {label: [] for label in columns}
        for _ in range(rounds):
            for label, (worker, work) in columns.items():
                if worker.is_installed and None not in times[label]:
                    times[label].append(worker.ask("measure", seconds, *work.request))
        for worker, _ in columns.values():
            worker.ask("forget")
        return {label: values for label, values in times.items() if values and None not in values}


class Results:
    """What was measured, in order; a new result replaces an older one of the same name."""

    def __init__(self, resume):
        self.commit = git("describe", "--always", "--dirty")
        self.resume = resume
        self.all = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}

    def has(self, table, name):
        return self.resume and self.all.get(table, {}).get(name, {}).get("commit") == self.commit

    def add(self, table, name, **result):
        today = datetime.date.today().isoformat()
        self.all.setdefault(table, {})[name] = {**result, "commit": self.commit, "date": today}
        RESULTS.write_text(json.dumps(self.all, indent=1, ensure_ascii=False))


def git(*command):
    return subprocess.run(["git", *command], cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout.strip()


# What runs.


def run_works(systems, results, wanted, rounds):
    for work in works.WORKS:
        if not wanted(work.name) or results.has("works", work.name):
            continue
        columns = {system: (systems.get(system), work) for system in ["adamant", *work.systems]}
        seconds = 0.1 if work.kind in ("conv", "adam") else 0.5
        times = systems.alternate(columns, rounds or (5 if work in works.MODELS else 7), seconds)
        results.add("works", work.name, times=times)
        print(work_row(work, times), flush=True)


def operations(program):
    """The operations that operations.rs lists, and the rows that it leaves out."""
    listed = subprocess.run([program, "operations"], check=True, stdout=subprocess.PIPE, text=True).stdout
    rows = [line.split("\t") for line in listed.splitlines()]
    return [row for row in rows if row[0] != "-"], [row[1:] for row in rows if row[0] == "-"]


def run_operations(systems, results, wanted, rounds):
    timed, left_out = operations(systems.program)
    results.all["left out"] = left_out
    for ours, expression, setup, shapes, span, differentiable in timed:
        if not (wanted(ours) or wanted(expression)) or results.has("operations", expression):
            continue
        passes = ["forward", "both"] if differentiable == "true" else ["forward"]
        columns = {}
        for one in passes:
            work = works.operation(expression, shapes, setup, span, one)
            for system in ["adamant", "eager"]:
                columns[f"{system} {one}"] = (systems.get(system), work)
        times = systems.alternate(columns, rounds or 7, 0.04)
        results.add("operations", expression, ours=ours, shapes=shapes, times=times)
        print(operation_row(results.all["operations"][expression], expression), flush=True)


def run_limits(systems, results, wanted, rounds):
    for title, ours, limit, least in works.limits():
        if wanted(title) and not results.has("limits", title):
            worker = systems.get("adamant")
            times = systems.alternate({"ours": (worker, ours), "limit": (worker, limit)}, rounds or 7, 0.3)
            results.add("limits", title, times=times, least=least)
            print(limit_row(title, times, least), flush=True)
    for work in works.THREADED:
        title = f"{work.name}, {work.sizes['pass']}" if work.kind == "operation" else work.name
        if wanted(f"threads: {title}") and not results.has("threads", title):
            columns = {
                f"{system} {threads}": (systems.get(system, threads), work)
                for system in ["adamant", "eager"]
                for threads in [1, 2]
            }
            times = systems.alternate(columns, rounds or 7, 0.1)
            results.add("threads", title, times=times)
            print(thread_row(title, times), flush=True)
    for work in works.MEMORY:
        if wanted(f"memory: {work.name}") and not results.has("memory", work.name):
            found = {system: memory(systems, system, work) for system in ["adamant", "fused", "jax"]}
            results.add("memory", work.name, bytes=found)
            print(memory_row(work.name, found), flush=True)


def memory(systems, system, work):
    """The growth of three fresh processes, the median."""
    grown = []
    for _ in range(3):
        worker = systems.start(system)
        grown.append(worker.ask("memory", *work.request) if worker.is_installed else None)
        worker.close()
    return None if None in grown else statistics.median(grown)


def run_profile(systems, results, wanted, rounds):
    """The functions that take the most time of about three seconds of a work."""
    for work in works.WORKS:
        if not wanted(work.name) or results.has("profile", work.name):
            continue
        once = systems.get("adamant").ask("measure", 0.1, *work.request)
        systems.get("adamant").ask("forget")
        data, times = RESULTS.parent / "perf.data", str(max(2, int(3e9 / once)))
        environment = {**os.environ, "RAYON_NUM_THREADS": str(systems.args.threads)}
        record = ["perf", "record", "-q", "-e", "cpu-clock", "-o", data]
        subprocess.run([*record, systems.program, "repeat", times, *work.request], env=environment, check=True)
        report = ["perf", "report", "-i", data, "--stdio", "-q", "--no-children", "-F", "overhead,sym"]
        run = subprocess.run(report, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        functions = {}
        for line in run.stdout.splitlines():
            share, _, name = line.strip().partition("%")
            if share:
                name = short_name(name)
                functions[name] = functions.get(name, 0) + float(share)
        top = sorted(functions.items(), key=lambda entry: -entry[1])[:6]
        results.add("profile", work.name, functions=top)
        print(profile_row(work.name, top), flush=True)


def short_name(symbol):
    """`[.] adamant_kernels::conv::im2col<f32>` → `conv::im2col`"""
    name = re.sub(r"^\s*\[.\]\s*", "", symbol)
    while (shorter := re.sub(r"<[^<>]*>", "", name)) != name:
        name = shorter
    parts = [part for part in name.split("::") if part and "{" not in part and part != "_"]
    return "::".join(parts[-2:]) or symbol.strip()


# What is printed.


def ratio(ours, theirs):
    """The quartiles of the rounds' ratios."""
    ratios = [a / b for a, b in zip(ours, theirs)]
    if len(ratios) < 2:
        return [ratios[0]] * 3
    return statistics.quantiles(ratios, n=4, method="inclusive")


def shown_ratio(times, ours, theirs):
    if ours not in times or theirs not in times:
        return "–"
    low, median, high = ratio(times[ours], times[theirs])
    return f"{median:.2f} ({low:.2f}–{high:.2f})"


def shown_time(times):
    if not times:
        return "–"
    nanoseconds = statistics.median(times)
    for unit, size in [("s", 1e9), ("ms", 1e6), ("µs", 1e3)]:
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds:.0f} ns"


def cells(*columns):
    return "| " + " | ".join(columns) + " |"


def verdict(times, targets):
    """Each target, and the ratio where it is missed."""
    found = []
    for system, most in targets.items():
        if system == "best":
            others = [s for s in works.SYSTEMS if s in times and s != "scan"]
            system = min(others, key=lambda s: statistics.median(times[s]), default="best")
            label = f"best ({system})"
        else:
            label = system
        if system not in times or "adamant" not in times:
            found.append(f"{label} ≤ {most:.2f}: –")
            continue
        median = ratio(times["adamant"], times[system])[1]
        found.append(f"{label} ≤ {most:.2f}" + (" met" if median <= most else f": **{median:.2f}**"))
    return "; ".join(found) or "–"


def work_row(work, times):
    shown = [shown_ratio(times, "adamant", system) for system in works.SYSTEMS]
    return cells(work.name, shown_time(times.get("adamant")), *shown, verdict(times, work.targets))


def operation_row(result, expression):
    times, columns = result["times"], []
    for one in ["forward", "both"]:
        columns += [shown_time(times.get(f"adamant {one}")), shown_ratio(times, f"adamant {one}", f"eager {one}")]
    code = lambda text: "`" + text.replace("|", "\\|") + "`"
    return cells(code(expression), result["shapes"].replace(",", "×").replace(";", ", "), *columns)


def limit_row(title, times, least):
    low, median, high = ratio(times["limit"], times["ours"])
    verdict = "met" if median >= least else "**missed**"
    shown = f"{median:.2f} ({low:.2f}–{high:.2f})"
    return cells(title, shown_time(times["ours"]), shown_time(times["limit"]), shown, f"≥ {least:.2f} {verdict}")


def thread_row(title, times):
    gain = lambda system: shown_ratio(times, f"{system} 1", f"{system} 2")
    return cells(title, gain("adamant"), gain("eager"))


def memory_row(name, found):
    mib = lambda size: "–" if size is None else f"{size / 2**20:.0f}"
    return cells(name, *(mib(found[system]) for system in ["adamant", "fused", "jax"]))


def profile_row(name, top):
    return cells(name, ", ".join(f"`{function}` {share:.0f} %" for function, share in top if share >= 1))


def table(title, *columns):
    print(f"\n### {title}\n\n{cells(*columns)}\n|{'---|' * len(columns)}")


def print_tables(results):
    found, named = results.all, {work.name: work for work in works.WORKS}
    machine = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    dates = sorted({r["date"] for group in found.values() if isinstance(group, dict) for r in group.values()})
    commits = {r["commit"] for group in found.values() if isinstance(group, dict) for r in group.values()}
    print(f"{len(machine)} × {machine[0]}; {', '.join(found.get('versions', []))}; {' to '.join(dates[:1] + dates[1:][-1:])};")
    print(f"commits {', '.join(sorted(commits))}. A ratio is the time of adamant to the other's: the median")
    print("of the rounds' ratios, and their quartiles.")
    table("Works", "work", "adamant", "eager", "fused", "compile", "JAX", "JAX scan", "targets")
    for name in named:
        if name in found.get("works", {}):
            print(work_row(named[name], found["works"][name]["times"]))
    table("Operations", "PyTorch's expression", "inputs", "forward", "ratio", "forward + backward", "ratio")
    for expression, result in found.get("operations", {}).items():
        print(operation_row(result, expression))
    print("\nRows of `tests/ops/table.rs` that are left out:\n")
    reasons = {}
    for expression, reason in found.get("left out", []):
        reasons.setdefault(reason, []).append(f"`{expression}`")
    for reason, rows in reasons.items():
        print(f"- {reason}: {', '.join(rows)}")
    table("Limits", "work; limit", "work", "limit", "share of the limit", "target")
    for title, result in found.get("limits", {}).items():
        print(limit_row(title, result["times"], result["least"]))
    table("What a second thread gains", "work", "adamant", "PyTorch")
    for title, result in found.get("threads", {}).items():
        print(thread_row(title, result["times"]))
    table("Where the time goes", "work", "functions")
    for name in named:
        if name in found.get("profile", {}):
            print(profile_row(name, found["profile"][name]["functions"]))
    table("Growth of resident memory in three steps, MiB", "work", "adamant", "PyTorch, fused", "JAX")
    for name, result in found.get("memory", {}).items():
        print(memory_row(name, result["bytes"]))


def write_tables(results):
    """Replaces what is between the two marks in docs/performance.md."""
    page = ROOT / "docs/performance.md"
    before, rest = page.read_text().split(BEGIN)
    _, after = rest.split(END)
    with contextlib.redirect_stdout(io.StringIO()) as tables:
        print_tables(results)
    page.write_text(f"{before}{BEGIN}\n{tables.getvalue()}{END}{after}")


def versions(args):
    """The versions of what is compared; an interpreter without the library adds nothing."""
    torch = "import torch; print('PyTorch', torch.__version__, torch.backends.cpu.get_cpu_capability())"
    jax = "import jax; print('JAX', jax.__version__)"
    found = [subprocess.run(["rustc", "--version"], stdout=subprocess.PIPE, text=True).stdout.strip()]
    for python, program in [(args.torch, torch), (args.jax, jax)]:
        run = subprocess.run([python, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        found += run.stdout.split("\n")[:-1]
    return [*found, f"{args.threads} threads"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="`limits`, `profile`, `table`, `write`, or parts of names")
    parser.add_argument("--rounds", type=int, help="default: 5 for models, 7 for others")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--torch", default=sys.executable, help="a Python with PyTorch")
    parser.add_argument("--jax", default=sys.executable, help="a Python with JAX")
    parser.add_argument("--resume", action="store_true", help="skip what this commit already has")
    args = parser.parse_args()

    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    results, names = Results(args.resume), args.names
    if names == ["table"]:
        return print_tables(results)
    if names == ["write"]:
        return write_tables(results)
    systems = Systems(args)
    results.all["versions"] = versions(args)
    runs = {"limits": [run_limits], "profile": [run_profile]}.get(names[0] if names else None)
    if runs:
        names = names[1:]
    else:
        runs = [run_works, run_operations]
    wanted = lambda name: not names or any(part.lower() in name.lower() for part in names)
    for run in runs:
        run(systems, results, wanted, args.rounds)


if __name__ == "__main__":
    main()
