"""Power cut at every write of an update: a device boots with the old or the new store, whole.

    make campaign NAME=power

On littlefs and on FAT, over a block device in RAM (tests/unit/power.py has it, the updates, and what is
checked after each cut). A small store, and the one of all roots: the update is cut at each of its writes, and
once more with half of that block written. The recovery that follows a cut is cut again: of the small store
at each of its writes, of the large one at every 211th, from another one on each time. After that the update
is made, and one more. Exit status 1 if anything else than the old or the new store was found.
"""

import collections
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from plugins.interpreters import binary, environment  # noqa: E402

STORE = ROOT / "build" / "store" / "roots.bin"
SYSTEMS = ("littlefs", "FAT")
CHANGES = ("add", "remove", "merge", "replace", "add_identity")
MORE = ("remove_identity", "first change", "change", "replace below")
# Build, and of each update: whether of all roots, and every which write of a recovery.
SMALL_STEP, LARGE_STEP = 1, 211

SCRIPT = """
import json, sys
import power

BUILD, SYSTEM, NAME, STORE, STEP = PARAMS
case = power.large(SYSTEM, NAME, STORE) if STORE else power.small(SYSTEM, NAME)
count = {"writes": case.done, "cuts": 0, "old": 0, "new": 0, "second cuts": 0, "later updates": 0}
at = None
try:
    for torn in (False, True):
        case.torn = torn
        for number in range(1, case.done + 1):
            at = ["torn" if torn else "whole", number]
            data, is_new = case.cut(number)
            count["cuts"] += 1
            count["new" if is_new else "old"] += 1
            if not STORE or not torn:
                case.settle(data, is_new)
                count["later updates"] += 1
            if STORE and torn:
                continue
            again = number % STEP + 1
            while True:
                at = at[:2] + [again]
                after = case.cut_again(data, is_new, again)
                if after is None:
                    break
                count["second cuts"] += 1
                if not STORE:
                    case.settle(after, is_new)
                    count["later updates"] += 1
                again += STEP
except Exception as error:
    sys.print_exception(error, sys.stdout)
    count["failed at"] = at
print("@" + json.dumps(count))
"""


def run(job):
    build = job[0]
    env = environment([ROOT / "lib" / "certstore", ROOT / "lib" / "securesocket", ROOT / "tests" / "unit"])
    words = [str(binary(build)), "-X", "heapsize=32M", "-c", f"PARAMS = {tuple(job)!r}\n{SCRIPT}"]
    done = subprocess.run(words, env=env, cwd=ROOT / "tests" / "unit", capture_output=True, text=True)
    lines = done.stdout.splitlines()
    if not lines or not lines[-1].startswith("@"):
        return job, {"failed at": "the start"}, done.stdout + done.stderr
    return job, json.loads(lines[-1][1:]), "\n".join(lines[:-1])


def jobs():
    for name in (*CHANGES, "replace below"):
        for system in SYSTEMS:
            yield "stock32", system, name, str(STORE), LARGE_STEP
    for build in ("stock", "stock32", "stock-1.25"):
        for system in SYSTEMS:
            for name in CHANGES + MORE:
                yield build, system, name, "", SMALL_STEP


def main():
    started = time.monotonic()
    total = collections.Counter()
    failures = []
    with ThreadPoolExecutor(2) as workers:
        for (build, system, name, store, _), count, printed in workers.map(run, jobs()):
            where = f"{build:10} {system:8} {name:15} {'all roots' if store else 'small'}"
            if count.pop("failed at", None) is not None:
                failures.append(where)
                print(f"{where}: FAILED\n{printed}", flush=True)
            total.update(count)
            print(f"{where:46} " + ", ".join(f"{key} {value}" for key, value in count.items()), flush=True)
    del total["writes"]
    print(", ".join(f"{value} {key}" for key, value in total.items()), end=" ")
    print(f"in {time.monotonic() - started:.0f} s, {len(failures)} updates not as they must be")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
