"""Faults for the kill tests: on PYTHONPATH, this changes a run's driver and all its workers as they are imported.

The fake engine takes `LAB_IMAGE_S` per image, its scores differ by up to `LAB_NOISE` of the scale from call to call,
and it notes in `LAB_LOG` how many images each call had. The process that makes the first part whose name contains
`LAB_KILL_AT` appear is killed before it can say so.
"""

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType


def make_engine_slow_and_noisy(module: ModuleType) -> None:
    engine = module.FakeEngine
    open_images = engine.open

    @contextmanager
    def open_slowly(self, pixels_BHWC):
        with Path(os.environ["LAB_LOG"]).open("a") as log:
            log.write(f"{len(pixels_BHWC)}\n")
        time.sleep(float(os.environ["LAB_IMAGE_S"]) * len(pixels_BHWC))
        with open_images(self, pixels_BHWC) as images:
            images.brightness_B = images.brightness_B + random.uniform(0, float(os.environ["LAB_NOISE"]))
            yield images

    engine.open = open_slowly


def kill_after_a_part(module: ModuleType) -> None:
    write = module.Folder.write

    def write_and_die(self, name, data):
        write(self, name, data)
        kill_at = os.environ.get("LAB_KILL_AT")
        if kill_at and name.startswith("scores/") and kill_at in name:
            try:
                Path(os.environ["LAB_LOG"]).with_suffix(".killed").open("x").close()
            except FileExistsError:
                return  # once
            os.kill(os.getpid(), signal.SIGKILL)

    module.Folder.write = write_and_die


PATCHES = {"artimuse.engines.fake": make_engine_slow_and_noisy, "artimuse.io.folder": kill_after_a_part}


class PatchingLoader(Loader):
    def __init__(self, loader: Loader, patch: Callable[[ModuleType], None]) -> None:
        self.loader = loader
        self.patch = patch

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        self.patch(module)


class PatchingFinder(MetaPathFinder):
    def find_spec(self, fullname, path, target=None) -> ModuleSpec | None:
        if fullname not in PATCHES:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        spec.loader = PatchingLoader(spec.loader, PATCHES[fullname])
        return spec


if "LAB_LOG" in os.environ:
    sys.meta_path.insert(0, PatchingFinder())
