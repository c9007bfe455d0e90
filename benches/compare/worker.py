"""The loop of a Python worker: it answers requests on standard input with times, as main.rs does.

`prepare(kind, sizes)` returns a function that runs one repetition and returns how many units of
work it was, if not one (a loop of 1,000 steps inside JAX's `scan`).
"""

import statistics
import sys
import time


class Sizes(dict):
    """The sizes of a piece of work: `batch=64`, …"""

    def __init__(self, fields):
        super().__init__(field.split("=", 1) for field in fields)

    def number(self, *names):
        numbers = [int(self[name]) for name in names]
        return numbers if len(names) > 1 else numbers[0]

    def list(self, name):
        return [int(number) for number in self[name].split(",")]

    @property
    def backward(self):
        return self["pass"] == "both"


def timed(work):
    """Nanoseconds of one repetition, for each unit of work."""
    start = time.perf_counter_ns()
    units = work()
    return (time.perf_counter_ns() - start) / (units or 1)


def measure(work, seconds):
    """The median nanoseconds of repetitions that take `seconds` in all, at least one."""
    times, start = [], time.perf_counter()
    while not times or time.perf_counter() - start < seconds:
        times.append(timed(work))
    return statistics.median(times)


class Prepared:
    """A piece of work, and the seconds of its first repetition, or the last while it was compiled."""

    def __init__(self, work, compiles):
        for _ in range(2 if compiles else 1):
            start = time.perf_counter()
            work()
            self.work, self.first = work, time.perf_counter() - start

    def measure(self, seconds):
        """Measures after other repetitions, which fill caches and wake threads, unless they are long."""
        if self.first < seconds:
            measure(self.work, seconds / 4)
        return measure(self.work, seconds)


def resident(name):
    """A line of /proc/self/status, in bytes."""
    for line in open("/proc/self/status"):
        if line.startswith(name):
            return int(line.split()[1]) * 1024


def memory(prepare, kind, fields):
    """The growth of the process in three repetitions."""
    prepare("tiny_step", Sizes(["batch=4"]))()  # one-time allocations of the libraries
    work = prepare(kind, Sizes(fields))
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak starts here
    before = resident("VmRSS")
    for _ in range(3):
        work()
    return resident("VmHWM") - before


def serve(prepare, compiles):
    """`compiles`: the first repetition of a work compiles it, and the second may do so again."""
    works, out = {}, sys.stdout
    sys.stdout = sys.stderr  # answers only
    for line in sys.stdin:
        request, *fields = line.rstrip("\n").split("\t")
        try:
            if request == "forget":
                works.clear()
                answer = 0
            elif request == "memory":
                answer = memory(prepare, *fields[:1], fields[1:])
            else:
                seconds, kind, *sizes = fields
                key = (kind, *sizes)
                if key not in works:
                    works[key] = Prepared(prepare(kind, Sizes(sizes)), compiles)
                answer = works[key].measure(float(seconds))
        except Exception as error:  # a piece of work that fails is an answer too
            lines = str(error).splitlines() or [""]
            answer = f"error {type(error).__name__}: {lines[0]}"
        print(answer, file=out, flush=True)
