"""Checks by TensorBoard's own reader that it sees what a run has logged, also after a resume.

    python -m venv VENV && VENV/bin/pip install tensorboard
    VENV/bin/python crates/train/tests/event_files.py

A test of the workspace writes the folder: a run of three sessions, each of which resumes before
the last step of the one before.
"""

import json
import math
import os
import struct
import subprocess
import tempfile

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def single(value):
    """The value of a row as a float of single precision, which TensorBoard stores."""
    return struct.unpack("f", struct.pack("f", float(value)))[0]


def same(a, b):
    return a == b or (math.isnan(a) and math.isnan(b))


with tempfile.TemporaryDirectory() as folder:
    test = "events::tensorboard_sees_what_was_logged"
    command = ["cargo", "test", "-q", "-p", "adamant-train", "--test", "run", "--", "--exact", test]
    subprocess.run(command, check=True, env={**os.environ, "ADAMANT_EVENTS": folder})

    with open(os.path.join(folder, "metrics.jsonl")) as file:
        rows = [json.loads(line) for line in file]
    logged = {}
    for row in rows:
        step, time = row.pop("step"), row.pop("time")
        for name, value in row.items():
            logged.setdefault(name, []).append((step, time, single(value)))

    events = EventAccumulator(folder, size_guidance={"scalars": 0})
    events.Reload()
    assert set(events.Tags()["scalars"]) == set(logged), events.Tags()
    for name, expected in logged.items():
        found = [(e.step, e.wall_time, e.value) for e in events.Scalars(name)]
        assert len(found) == len(expected), (name, len(found), len(expected))
        for a, b in zip(found, expected):
            assert a[:2] == b[:2] and same(a[2], b[2]), (name, a, b)
        print(f"{name}: {len(found)} values, steps {found[0][0]} to {found[-1][0]}")
    assert [step for step, _, _ in logged["loss"]] == list(range(1, 61))
