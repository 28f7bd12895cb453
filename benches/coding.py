#!/usr/bin/env python3
"""Runs `cargo bench -p larder-erasure` (about three minutes once it is built) and prints its figures as Markdown tables: GB/s of data
(k times the shard) of one core, and the cost of a plan. The best of 100 samples of 3 ms counts. Arguments go to criterion, such as a
filter `encode/4+2`; `--print` only prints what the last run left in target/criterion.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RIVALS = ["reed-solomon-simd", "reed-solomon-erasure"]
ORDER = ["larder", "larder, new plan", "larder avx512-gfni", "larder avx2-gfni", "larder avx2", "larder neon", "larder scalar", *RIVALS]


def measurements():
    """Yields group, contender, case and bytes (or None) and best nanoseconds of an iteration."""
    for path in (ROOT / "target/criterion").glob("**/new/benchmark.json"):
        benchmark = json.loads(path.read_text())
        sample = json.loads(path.with_name("sample.json").read_text())
        best = min(time / count for time, count in zip(sample["times"], sample["iters"], strict=True))
        size = (benchmark["throughput"] or {}).get("Bytes")
        yield benchmark["group_id"], benchmark["function_id"], benchmark["value_str"], size, best


def print_table(title, cases, contenders, cell):
    print(f"\n{title}\n\n| {' | '.join(['k+m', 'KiB', *contenders])} |\n|{'---|' * (len(contenders) + 2)}")
    for profile, kib in cases:
        print(f"| {profile} | {kib} | {' | '.join(cell(profile, kib, contender) for contender in contenders)} |")


def tables():
    speeds, plans = {}, {}
    for group, contender, case, size, best in measurements():
        if size is None:
            plans[contender] = best / 1000
        else:
            task, profile = group.split("/")
            speeds.setdefault(task, {})[profile, int(case), contender] = size / best
    for task, found in speeds.items():
        cases = sorted({key[:2] for key in found}, key=lambda case: (numbers(case[0]), case[1]))
        contenders = [name for name in ORDER if any(key[2] == name for key in found)]
        print_table(f"{task}, GB/s", cases, contenders, lambda *key, found=found: f"{found.get(key, 0):.1f}")
    print("\nplan, \u00b5s: " + ", ".join(f"{profile} {plans[profile]:.2f}" for profile in sorted(plans, key=numbers)))


def numbers(text):
    """The numbers of a profile, to sort by."""
    return tuple(map(int, text.split("+")))


def main():
    if sys.argv[1:] != ["--print"]:
        command = ["cargo", "bench", "--quiet", "-p", "larder-erasure", "--bench", "coding", "--", *sys.argv[1:]]
        subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)
    tables()


main()
