"""Ctrl-C, SIGTERM and a full disk at any call that changes files, and signals at random times.

A command says in a line or two what happened, leaves the old result or the new one and no process, and the same
command afterwards gives every byte of an undisturbed run.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from command_line import Finished, assert_told_in_two_lines, environment
from fault_jobs import CONVERT_COMMAND, PREPROCESS_COMMAND, Job, converting_job, preprocessing_job
from file_trees import files
from killing import places_to_kill, spread, wait_for_the_others
from trajectories import make_trajectories, write_raw

SIGNALS = ("SIGINT", "SIGTERM")
MOST_SECONDS = 1200
"""After which a soak test ends with what it has tried."""
COMMANDS = {"preprocessing": PREPROCESS_COMMAND, "converting": CONVERT_COMMAND}


@pytest.fixture(scope="module", params=COMMANDS)
def job(request: pytest.FixtureRequest) -> Job:
    """As users run it."""
    return replace(request.getfixturevalue(request.param), script=COMMANDS[request.param], counted={})


def disturb_at_each(job: Job, places: list[int], ways: tuple[str, ...], *, workers: int = 1) -> None:
    """At every place from the start, each time in the next of the ways."""
    assert places
    for number, place in enumerate(places):
        way = ways[number % len(ways)]
        out = job.fresh(f"{way}-{workers}-{place}")
        done = job.run(out, workers, kill_at=place, by=way)
        where = f"{way} at call {place}, {done.calls[-1:]}, exit code {done.code}: {done.stderr}"
        if done.code == 0:  # room enough for what was left to do, or fewer calls this time
            assert workers > 1 or way == "ENOSPC", where
            assert files(out.parent) == {f"out/{name}": data for name, data in job.reference.items()}, where
        elif way == "ENOSPC":
            assert_told_in_two_lines(Finished(done.code, "", done.stderr), "No space left on device", code=3)
        else:
            assert done.code == 128 + signal.Signals[way], where
            assert [line.partition(";")[0] for line in done.stderr.splitlines()] == ["interrupted"], where
        job.check_what_is_left(out, where)
        job.check_rerun(out, where)
        shutil.rmtree(out.parent)


def test_interrupted_at_any_call(job: Job) -> None:
    """At some, each time others; all of them in the soak test."""
    places = places_to_kill(job.calls(1))
    disturb_at_each(job, sorted(Random().sample(places, 4)), SIGNALS)


def test_interrupted_with_two_workers(job: Job) -> None:
    """With all its processes, as a terminal does and schedulers do."""
    disturb_at_each(job, spread(places_to_kill(job.calls(2)), 4)[1:-1], SIGNALS, workers=2)


def test_a_disk_that_is_full_from_any_call_on(job: Job) -> None:
    disturb_at_each(job, sorted(Random().sample(places_to_kill(job.calls(1)), 3)), ("ENOSPC",))


@pytest.mark.soak
@pytest.mark.parametrize("way", [*SIGNALS, "ENOSPC"])
def test_disturbed_at_every_call(way: str, job: Job) -> None:
    disturb_at_each(job, spread(places_to_kill(job.calls(1)), 120), (way,))


# --- at random times ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=COMMANDS)
def longer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job of a second or two."""
    make = {"preprocessing": (preprocessing_job, 200), "converting": (converting_job, 200)}[request.param]
    return make[0](tmp_path_factory.mktemp("longer"), COMMANDS[request.param], make[1])


def start(job: Job, out: Path, workers: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, *job.arguments(out, workers)], env=environment(), start_new_session=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def seconds_of(job: Job) -> tuple[float, float]:
    """Until an undisturbed run begins to write, and until it ends."""
    out, started = job.fresh("undisturbed"), time.monotonic()
    before = files(out)
    with start(job, out, 1) as process:
        while process.poll() is None and files(out).keys() == before.keys():
            time.sleep(0.01)
        begun = time.monotonic() - started
    assert process.returncode == 0
    return begun, time.monotonic() - started


def run_until_done(job: Job, out: Path, random: Random, begun: float, whole: float) -> list[str]:
    """Signals at random times, each time run anew, until a run ends before it gets one; which signals there were."""
    told: list[str] = []
    while True:
        with start(job, out, random.choice((1, 2))) as process:
            try:
                time.sleep(random.uniform(0.8 * begun, whole))
                name = random.choice(("SIGKILL", *SIGNALS))
                to_all = random.random() < 0.5 or name == "SIGKILL"  # or only to the process that was started
                if process.poll() is None:
                    (os.killpg if to_all else os.kill)(process.pid, signal.Signals[name])
                _, stderr = process.communicate(timeout=120)
                wait_for_the_others(process.pid)
            finally:
                process.kill()
        if process.returncode == 0:
            return told
        told.append(name)
        number = signal.Signals[name]
        assert process.returncode in (128 + number, -number), (told, stderr)  # the latter while Python exits, too
        job.check_what_is_left(out, str(told))


def disturb_at_random(job: Job, trials: int) -> None:
    seed, until = int(time.time()), time.monotonic() + MOST_SECONDS
    random, seconds = Random(seed), seconds_of(job)
    for trial in range(trials):
        if time.monotonic() > until:
            print(f"{trial} of {trials} trials, in the time there was")
            return
        out = job.fresh(f"random-{trial}")
        told = run_until_done(job, out, random, *seconds)
        expected = {f"out/{name}": data for name, data in job.reference.items()}
        assert files(out.parent) == expected, (seed, trial, told)
        shutil.rmtree(out.parent)


def test_signals_at_random_times_until_it_is_done(longer: Job) -> None:
    disturb_at_random(longer, 1)


@pytest.mark.soak
def test_signals_at_random_times_until_it_is_done_fifty_times(longer: Job) -> None:
    disturb_at_random(longer, 50)


@pytest.mark.parametrize("name", SIGNALS)
def test_who_waits_for_the_compiler_is_interrupted_at_once(name: str, tmp_path: Path) -> None:
    """It would take ten seconds more; and neither the compiler nor what it wrote stays."""
    pytest.importorskip("numba")
    raw, cache = write_raw(tmp_path / "raw.jsonl", make_trajectories(3)), tmp_path / "poke-bc"
    script = tmp_path / "script.py"
    script.write_text(PREPROCESS_COMMAND)
    command = [sys.executable, script, raw, tmp_path / "out", "1"]
    env = environment() | {"POKE_BC_DECODER": "scanner", "NUMBA_CACHE_DIR": str(tmp_path)}
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, start_new_session=True) as process:
        while not list(cache.glob("compiling-*")):
            time.sleep(0.01)
        process.send_signal(signal.Signals[name])
        _, stderr = process.communicate(timeout=120)
        wait_for_the_others(process.pid)
    assert (process.returncode, stderr) == (128 + signal.Signals[name], b"interrupted\n")
    assert list(cache.iterdir()) == [], "had it waited, the compiled code would be there"
    assert not (tmp_path / "out" / "manifest.json").exists()
