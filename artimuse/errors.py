"""What can go wrong outside the program: one tree of exceptions, and the codes a failed row can carry."""

from dataclasses import dataclass
from typing import Literal, get_args


class ArtiMuseError(Exception):
    """The world is wrong: a file, a checkpoint, a cluster. Shown to the user as one line."""


class BadInput(ArtiMuseError):
    """INPUT cannot be read as a collection of images: missing, empty, or with a malformed manifest."""


class BadCheckpoint(ArtiMuseError):
    """A model directory that is missing, incomplete, or not of a kind this version can load."""


class UnreadableImage(ArtiMuseError):
    """An image handed to the Python API could not be decoded. In a batch run this is a failed row instead."""


class RunMismatch(ArtiMuseError):
    """OUTPUT holds the results of another model, strategy or input."""


class BadOutput(ArtiMuseError):
    """OUTPUT cannot be written, or its files are not what its run.json says."""


class OutputLocked(BadOutput):
    """Another run is writing to OUTPUT."""


class ClusterProblem(ArtiMuseError):
    """The Ray cluster cannot run the job: a node does not see the data, or the resources asked for do not exist."""


class EngineFailed(ArtiMuseError):
    """The network cannot score any image: no memory left on the device, damaged weights, a broken installation."""


class OutOfMemory(ArtiMuseError):
    """The device has too little memory for these images, also half as many at a time. They become failed rows."""


class ParityFailed(ArtiMuseError):
    """An engine's scores differ from those of the plain reference by more than is allowed."""


class StorageProblem(ArtiMuseError):
    """A store that does not answer now, after several tries, and may do so later."""


class TrainingDiverged(ArtiMuseError):
    """The loss, the gradients or the weights of a training run are no numbers any more."""


class TrainingFailed(ArtiMuseError):
    """The workers of a training run were lost more often than is allowed; it can be gone on with."""


class ExportFailed(ArtiMuseError):
    """A trained model that did not learn, or that answers otherwise once it is merged and read again."""


class Interrupted(ArtiMuseError):
    """The run was stopped from outside; what is finished is on disk and the same command resumes it."""


ErrorCode = Literal[
    "not_found",
    "access_denied",
    "io_error",
    "too_large",
    "too_many_pixels",
    "unsupported_format",
    "corrupt",
    "truncated",
    "out_of_memory",
    "model_error",
]
ERROR_CODES: tuple[ErrorCode, ...] = get_args(ErrorCode)


@dataclass(frozen=True, slots=True)
class RowError:
    """Why one image has no score: a code to group by, and a sentence for a person."""

    code: ErrorCode
    message: str
