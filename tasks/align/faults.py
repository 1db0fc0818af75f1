"""Faults of the machine under a training: a disk that can't be written, memory that ran out."""

import tempfile
from pathlib import Path

import torch

from tasks.errors import ModelError

# how torch's and safetensors' writers name an I/O error of the operating system
_IO_WORDS = ("PytorchStreamWriter", "unexpected pos", "os error", "I/O error")

# PyTorch's CPU allocator, the driver below its caching allocator, and libraries that allocate for themselves
_OUT_OF_MEMORY = (
    "can't allocate memory",
    "CUDA error: out of memory",
    "HIP error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def is_io_error(error: BaseException) -> bool:
    """Whether a file could not be written, by the error that Python, torch or safetensors raise."""
    return isinstance(error, OSError) or any(word in str(error) for word in _IO_WORDS)


def explain_unwritable(where: Path, error: BaseException) -> ModelError:
    """A disk that is full, or can't be written: what is whole stays, and the next start goes on from it."""
    reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    return ModelError(
        f"the training can't write {where}: {reason}",
        do="free space or fix permissions there, or set NIGHTSHIFT_HOME to another disk; the night goes on from its "
        "last whole checkpoint",
    )


def refuse_unwritable(folder: Path) -> None:
    """Find out before hours of training, not at the first checkpoint.

    Raises:
        ModelError: no file can be written in the folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise explain_unwritable(folder, error) from error


def out_of_memory(error: BaseException) -> bool:
    """Whether it says that memory ran out: only PyTorch's caching allocator has a type of its own for it."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _OUT_OF_MEMORY)
