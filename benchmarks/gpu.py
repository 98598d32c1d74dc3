"""`artimuse bench` for machines without the command line's packages: torch, transformers, Pillow and scipy are enough.

Run in a clone: `PYTHONPATH=. python benchmarks/gpu.py --output bench.json`.
"""

import argparse
import json
import logging
from pathlib import Path

from artimuse.bench.measure import Workload, measure
from artimuse.configs.engine import EngineConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="random:internvl3-8b")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--images", type=int)
    parser.add_argument("--official-images", type=int, default=1)
    parser.add_argument("--new-tokens", type=int, default=130)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="a file for the JSON, which otherwise goes to stdout")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    report = measure(
        EngineConfig(model=options.model, device=options.device, dtype=options.dtype, batch_size=options.batch_size),
        Workload(
            num_images=options.images,
            new_tokens=options.new_tokens,
            num_rounds=options.rounds,
            official_images=options.official_images,
        ),
    )
    text = json.dumps(report.as_dict(), indent=2) + "\n"
    if options.output:
        options.output.write_text(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
