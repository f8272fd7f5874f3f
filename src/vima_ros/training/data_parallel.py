"""Training by several processes that share each batch, as torchrun starts them.

Every process has the same weights and adds up the same gradients, so that they stay the same. One
process alone does not communicate.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed as dist

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Processes:
    """One of the processes that train together; ``rank`` 0 writes all files.

    ``local_rank``: its number on its machine, which is that of its GPU.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def writes(self) -> bool:
        """True in the process that writes the run's files and reports."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """GPU of the process, or the CPU where there is none."""
        return torch.device("cuda", self.local_rank) if torch.cuda.is_available() else CPU

    def sum_gradients(self, parameters: Sequence[torch.nn.Parameter], flags: list[bool]) -> None:
        """Add up the gradients of all processes in place; ``flags``: each true if it is anywhere.

        A parameter without a gradient in any process keeps none. Waits for the other processes.
        """
        if self.count == 1:
            return
        device = parameters[0].device
        has = [float(p.grad is not None) for p in parameters]
        parts = [
            p.grad.flatten() if p.grad is not None else p.new_zeros(p.numel()) for p in parameters
        ]
        tail = torch.tensor([*has, *map(float, flags)], device=device)
        total = torch.cat([*parts, tail])
        dist.all_reduce(total)
        *sums, tail = total.split([*(p.numel() for p in parameters), len(tail)])
        counts = tail.tolist()
        for parameter, gradient, count in zip(parameters, sums, counts, strict=False):
            parameter.grad = gradient.view_as(parameter) if count else None
        flags[:] = [count > 0 for count in counts[len(parameters) :]]


ALONE = Processes()


@contextmanager
def joined_processes() -> Iterator[Processes]:
    """Join the processes that torchrun has started; ALONE without torchrun.

    By NCCL where there are GPUs, else by gloo.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield ALONE
        return
    rank, count, local = (int(os.environ[k]) for k in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    processes = Processes(rank, count, local)
    if processes.device.type == "cuda":
        torch.cuda.set_device(processes.device)
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield processes
    finally:
        dist.destroy_process_group()
