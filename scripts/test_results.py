"""tests/test-all.md, the result of `make test-all`: counts and durations from the JUnit files that pytest wrote."""

import sys
from collections import defaultdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

import torch

from artimuse.bench.machine import describe

REPORT = Path(__file__).parents[1] / "tests" / "test-all.md"
NUM_SLOWEST = 25


def main() -> None:
    runs = {Path(name).stem: ElementTree.parse(name).getroot().find("testsuite") for name in sys.argv[1:]}
    lines = ["# The last full run of the tests", "", "Written by `make test-all`.", ""]
    facts = describe(torch.device("cpu")) | {"ray": version("ray"), "deepspeed": version("deepspeed")}
    lines += [f"{datetime.now(UTC):%Y-%m-%d}, " + ", ".join(f"{name} {value}" for name, value in facts.items()), ""]
    lines += ["| run | tests | failed | skipped | minutes |", "|---|---|---|---|---|"]
    for name, suite in runs.items():
        failed = int(suite.get("failures")) + int(suite.get("errors"))
        minutes = float(suite.get("time")) / 60
        lines.append(f"| {name} | {suite.get('tests')} | {failed} | {suite.get('skipped')} | {minutes:.1f} |")
    cases = [(float(case.get("time")), case) for suite in runs.values() for case in suite]
    seconds, counts = defaultdict(float), defaultdict(int)
    for duration, case in cases:
        package = ".".join(case.get("classname").split(".")[:2])
        seconds[package] += duration
        counts[package] += 1
    lines += ["", "| where | tests | seconds |", "|---|---|---|"]
    lines += [
        f"| {package} | {counts[package]} | {seconds[package]:.0f} |"
        for package in sorted(seconds, key=seconds.get)[::-1]
    ]
    lines += ["", f"The {NUM_SLOWEST} slowest:", "", "| test | seconds |", "|---|---|"]
    for duration, case in sorted(cases, key=lambda pair: -pair[0])[:NUM_SLOWEST]:
        lines.append(f"| {case.get('classname')}: {case.get('name')} | {duration:.1f} |")
    skipped = {(case.find("skipped").get("message"), case.get("classname")) for _, case in cases if skip(case)}
    lines += ["", "Skipped:", "", *(f"- {where}: {why}" for why, where in sorted(skipped, key=str))]
    REPORT.write_text("\n".join(lines) + "\n")
    print(f"wrote {REPORT.name}")


def skip(case: ElementTree.Element) -> bool:
    return case.find("skipped") is not None


if __name__ == "__main__":
    main()
