"""Faults of the machine are told from the program's own by what PyTorch says of them."""

import pytest
import torch

from tasks.align.faults import out_of_memory


def test_memory_that_this_machine_has_not_got_ran_out() -> None:
    with pytest.raises(RuntimeError) as real:
        torch.empty(2**55)
    assert out_of_memory(real.value)


@pytest.mark.parametrize(
    ("error", "ran_out"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"), False),
        (ValueError("CUDA error: out of memory"), False),
    ],
    ids=str,
)
def test_memory_that_ran_out_is_told_from_other_errors(error: BaseException, ran_out: bool) -> None:
    assert out_of_memory(error) == ran_out
