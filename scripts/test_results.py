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
HEADINGS = {"failure": "Failed", "error": "Failed before or after the test", "skipped": "Skipped"}


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
    cases = [(float(case.get("time")), case) for suite in runs.values() for case in suite.iter("testcase")]
    seconds, counts = defaultdict(float), defaultdict(int)
    for duration, case in cases:
        package = ".".join(where(case).split(".")[:2])
        seconds[package] += duration
        counts[package] += 1
    lines += ["", "| where | tests | seconds |", "|---|---|---|"]
    lines += [
        f"| {package} | {counts[package]} | {seconds[package]:.0f} |"
        for package in sorted(seconds, key=seconds.get)[::-1]
    ]
    lines += ["", f"The {NUM_SLOWEST} slowest:", "", "| test | seconds |", "|---|---|"]
    for duration, case in sorted(cases, key=lambda pair: -pair[0])[:NUM_SLOWEST]:
        lines.append(f"| {where(case)}: {case.get('name')} | {duration:.1f} |")
    for kind in ("failure", "error", "skipped"):
        found = {
            (where(case) if kind == "skipped" else f"{where(case)}: {case.get('name')}", mark.get("message") or "")
            for _, case in cases
            for mark in case.iter(kind)
        }
        if found:
            said = [f"- {place}: {(message.splitlines() or [''])[0]}" for place, message in sorted(found)]
            lines += ["", f"{HEADINGS[kind]}:", "", *said]
    REPORT.write_text("\n".join(lines) + "\n")
    print(f"wrote {REPORT.name}")


def where(case: ElementTree.Element) -> str:
    """The test's module; of a module that is skipped as a whole, its name."""
    return case.get("classname") or case.get("name")


if __name__ == "__main__":
    main()
