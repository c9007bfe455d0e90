"""Runs adamant, PyTorch and JAX in turn over the same works, and prints tables of ratios.

    python benches/compare/run.py                 all works and operations
    python benches/compare/run.py NAME…           those whose names contain one of these
    python benches/compare/run.py limits [NAME…]  against the machine's limits; threads; memory
    python benches/compare/run.py profile [NAME…] where the time of adamant's works goes; needs `perf`
    python benches/compare/run.py table           all results so far, as Markdown
    python benches/compare/run.py write           the same, into docs/performance.md

README.md says how to set up PyTorch and JAX. Each result is kept in target/compare/results.json;
`--resume` continues what this commit already has, so that a long run can be cut into parts.
"""

import argparse
import contextlib
import datetime
import io
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import time

import works

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
        self.args, self.running, self.end = args, {}, time.monotonic() + args.seconds
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

    def alternate(self, result, columns, rounds, seconds):
        """Adds to the times of `result` until there are `rounds`; `columns` are (worker, work).

        A system that fails has no times. Leaves the program when its time is over.
        """
        times = result.setdefault("times", {label: [] for label in columns})
        while any(values is not None and len(values) < rounds for values in times.values()):
            if time.monotonic() > self.end:
                sys.exit(3)
            answers = {}
            order = list(columns.items())
            turn = max(len(values or []) for values in times.values()) % len(order)
            for label, (worker, work) in order[turn:] + order[:turn]:  # another begins each round
                if times[label] is not None:
                    answers[label] = worker.ask("measure", seconds, *work.request)
            for label, answer in answers.items():
                times[label] = None if answer is None else [*times[label], answer]
            yield
        for worker, _ in columns.values():
            worker.ask("forget")


class Results:
    """What was measured, in order; a new result replaces an older one of the same name."""

    def __init__(self, resume):
        # The last commit that changed what runs.
        paths = ["--", "crates", "benches", "tests/ops/table.rs", "Cargo.toml", "Cargo.lock"]
        paths += [":!benches/compare/run.py", ":!benches/compare/README.md"]
        is_dirty = git("status", "--porcelain", *paths) != ""
        self.commit = git("log", "-1", "--format=%h", *paths) + ("-dirty" if is_dirty else "")
        self.resume = resume
        self.all = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}

    def begin(self, table, name, **facts):
        """A new result, or this commit's unfinished one; `None` if it has a finished one."""
        result = self.all.setdefault(table, {}).get(name)
        if not self.resume or result is None or result["commit"] != self.commit:
            result = {"commit": self.commit, "date": datetime.date.today().isoformat(), **facts}
        if result.get("is_complete"):
            return None
        self.all[table][name] = result
        return result

    def save(self):
        new = RESULTS.with_suffix(".new")
        new.write_text(json.dumps(self.all, indent=1, ensure_ascii=False))
        new.replace(RESULTS)

    def measure(self, result, alternation):
        """Saves the result after each round."""
        for _ in alternation:
            self.save()
        self.finish(result)

    def finish(self, result, **facts):
        result.update(facts, is_complete=True)
        self.save()


def git(*command):
    return subprocess.run(["git", *command], cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout.strip()


# What runs.


def run_works(systems, results, wanted, rounds):
    for work in works.WORKS:
        if not wanted(work.name) or (result := results.begin("works", work.name)) is None:
            continue
        columns = {system: (systems.get(system), work) for system in ["adamant", *work.systems]}
        rounds_of = rounds or (5 if work in works.MODELS else 7)
        seconds = 0.1 if work.kind in ("conv", "adam") else 0.5
        results.measure(result, systems.alternate(result, columns, rounds_of, seconds))
        print(work_row(work, result), flush=True)


def operations(program):
    """The operations that operations.rs lists, and the rows that it leaves out."""
    listed = subprocess.run([program, "operations"], check=True, stdout=subprocess.PIPE, text=True).stdout
    rows = [line.split("\t") for line in listed.splitlines()]
    return [row for row in rows if row[0] != "-"], [row[1:] for row in rows if row[0] == "-"]


def run_operations(systems, results, wanted, rounds):
    timed, left_out = operations(systems.program)
    results.all["left out"] = left_out
    for ours, expression, setup, shapes, span, differentiable in timed:
        if not (wanted(ours) or wanted(expression)):
            continue
        if (result := results.begin("operations", expression, shapes=shapes)) is None:
            continue
        columns = {}
        for one in ["forward", "both"] if differentiable == "true" else ["forward"]:
            work = works.operation(expression, shapes, setup, span, one)
            for system in ["adamant", "eager"]:
                columns[f"{system} {one}"] = (systems.get(system), work)
        results.measure(result, systems.alternate(result, columns, rounds or 7, 0.04))
        print(operation_row(expression, result), flush=True)


def run_limits(systems, results, wanted, rounds):
    for title, ours, limit, least in works.limits():
        if not wanted(title) or (result := results.begin("limits", title, least=least)) is None:
            continue
        worker = systems.get("adamant")
        columns = {"ours": (worker, ours), "limit": (worker, limit)}
        results.measure(result, systems.alternate(result, columns, rounds or 7, 0.3))
        print(limit_row(title, result), flush=True)
    for work in works.THREADED:
        title = f"{work.name}, {work.sizes['pass']}" if work.kind == "operation" else work.name
        if not wanted(f"threads: {title}") or (result := results.begin("threads", title)) is None:
            continue
        columns = {
            f"{system} {threads}": (systems.get(system, threads), work)
            for system in ["adamant", "eager"]
            for threads in [1, 2]
        }
        results.measure(result, systems.alternate(result, columns, rounds or 7, 0.1))
        print(thread_row(title, result), flush=True)
    for work in works.MEMORY:
        if not wanted(f"memory: {work.name}") or (result := results.begin("memory", work.name)) is None:
            continue
        grown = {system: memory(systems, system, work) for system in ["adamant", "fused", "jax"]}
        results.finish(result, bytes=grown)
        print(memory_row(work.name, result), flush=True)


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
        if not wanted(work.name) or (result := results.begin("profile", work.name)) is None:
            continue
        once = systems.get("adamant").ask("measure", 0.1, *work.request)
        systems.get("adamant").ask("forget")
        if once is None:
            continue
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
        results.finish(result, functions=top)
        print(profile_row(work.name, result), flush=True)


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
    if not times.get(ours) or not times.get(theirs):
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
            others = [s for s in works.SYSTEMS if times.get(s) and s != "scan"]
            system = min(others, key=lambda s: statistics.median(times[s]), default="best")
            label = f"best ({system})"
        else:
            label = system
        if not times.get(system) or not times.get("adamant"):
            found.append(f"{label} ≤ {most:.2f}: –")
            continue
        median = ratio(times["adamant"], times[system])[1]
        found.append(f"{label} ≤ {most:.2f}" + (" met" if median <= most else f": **{median:.2f}**"))
    return "; ".join(found) or "–"


def work_row(work, result):
    times = result["times"]
    shown = [shown_ratio(times, "adamant", system) for system in works.SYSTEMS]
    return cells(work.name, shown_time(times.get("adamant")), *shown, verdict(times, work.targets))


def operation_row(expression, result):
    times, columns = result["times"], []
    for one in ["forward", "both"]:
        ours, theirs = f"adamant {one}", f"eager {one}"
        shown = shown_ratio(times, ours, theirs)
        is_behind = shown != "–" and ratio(times[ours], times[theirs])[1] > 1
        columns += [shown_time(times.get(ours)), f"**{shown}**" if is_behind else shown]
    code = lambda text: "`" + text.replace("|", "\\|") + "`"
    return cells(code(expression), result["shapes"].replace(",", "×").replace(";", ", "), *columns)


def limit_row(title, result):
    times, least = result["times"], result["least"]
    low, median, high = ratio(times["limit"], times["ours"])
    verdict = "met" if median >= least else "**missed**"
    shown = f"{median:.2f} ({low:.2f}–{high:.2f})"
    return cells(title, shown_time(times["ours"]), shown_time(times["limit"]), shown, f"≥ {least:.2f} {verdict}")


def thread_row(title, result):
    gain = lambda system: shown_ratio(result["times"], f"{system} 1", f"{system} 2")
    return cells(title, gain("adamant"), gain("eager"))


def memory_row(name, result):
    mib = lambda size: "–" if size is None else f"{size / 2**20:.0f}"
    return cells(name, *(mib(result["bytes"][system]) for system in ["adamant", "fused", "jax"]))


def profile_row(name, result):
    shares = [f"`{function}` {share:.0f} %" for function, share in result["functions"] if share >= 1]
    return cells(name, ", ".join(shares))


def table(title, *columns):
    print(f"\n### {title}\n\n{cells(*columns)}\n|{'---|' * len(columns)}")


def print_tables(results):
    found = {name: group for name, group in results.all.items() if isinstance(group, dict)}
    complete = lambda name: [(n, r) for n, r in found.get(name, {}).items() if r.get("is_complete")]
    every = [result for name in found for _, result in complete(name)]
    dates, commits = sorted({r["date"] for r in every}), sorted({r["commit"] for r in every})
    machine = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    about = [f"{len(machine)} × {machine[0]}" if machine else platform.machine(), *results.all.get("versions", [])]
    print(f"{', '.join(about)}; {' and '.join(dates)}; at {', '.join(commits)}. A ratio is the time of adamant to")
    print("the other's: the median of the rounds' ratios, and their quartiles.")
    table("Works", "work", "adamant", "eager", "fused", "compile", "JAX", "JAX scan", "targets")
    named = {work.name: work for work in works.WORKS}
    order = list(named)
    for name, result in sorted((e for e in complete("works") if e[0] in named), key=lambda e: order.index(e[0])):
        print(work_row(named[name], result))
    print("\nIn the table of operations, a ratio above 1 is **bold**.")
    table("Operations", "PyTorch's expression", "inputs", "forward", "ratio", "forward + backward", "ratio")
    for name, result in complete("operations"):
        print(operation_row(name, result))
    print("\nRows of `tests/ops/table.rs` that are left out:\n")
    reasons = {}
    for expression, reason in results.all.get("left out", []):
        reasons.setdefault(reason, []).append(f"`{expression}`")
    for reason, rows in reasons.items():
        print(f"- {reason}: {', '.join(rows)}")
    table("Limits", "work; limit", "work", "limit", "share of the limit", "target")
    for name, result in complete("limits"):
        print(limit_row(name, result))
    table("What a second thread gains", "work", "adamant", "PyTorch")
    for name, result in complete("threads"):
        print(thread_row(name, result))
    table("Growth of resident memory in three steps, MiB", "work", "adamant", "PyTorch, fused", "JAX")
    for name, result in complete("memory"):
        print(memory_row(name, result))
    table("Where the time goes", "work", "functions")
    for name, result in complete("profile"):
        print(profile_row(name, result))
    print("\n`vectorize::avx512` stands for all loops under `simd!`, which are inlined there.")


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
    parser.add_argument("--resume", action="store_true", help="continue what this commit already has")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end after this time, with status 3")
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
