"""Layouts of images for the programs that read them, a file each. `interface.py` says what a layout is."""

from artimuse.configs.materialize import FormatName
from artimuse.curation.materialize.formats.captions import KOHYA, ONETRAINER
from artimuse.curation.materialize.formats.diffusers_dpo import DiffusersDpo
from artimuse.curation.materialize.formats.folder import PlainFolder
from artimuse.curation.materialize.formats.hpsv3 import Hpsv3
from artimuse.curation.materialize.formats.imagefolder import ImageFolder
from artimuse.curation.materialize.formats.imagereward import ImageReward
from artimuse.curation.materialize.formats.interface import FileFormat, Format, ShardFormat
from artimuse.curation.materialize.formats.pickscore import PickScore
from artimuse.curation.materialize.formats.simpletuner import SimpleTuner
from artimuse.curation.materialize.formats.trl import Trl
from artimuse.curation.materialize.formats.webdataset import WebDataset

FILE_FORMATS: dict[FormatName, FileFormat] = {
    "folder": PlainFolder(),
    "imagefolder": ImageFolder(),
    "kohya": KOHYA,
    "onetrainer": ONETRAINER,
    "simpletuner": SimpleTuner(),
    "hpsv3": Hpsv3(),
    "imagereward": ImageReward(),
}
SHARD_FORMATS: dict[FormatName, ShardFormat] = {
    "webdataset": WebDataset(),
    "diffusers-dpo": DiffusersDpo(),
    "pickscore": PickScore(),
    "trl": Trl(),
}
FORMATS: dict[FormatName, Format] = {**FILE_FORMATS, **SHARD_FORMATS}
