from enum import IntEnum
from typing import Any

class ReliabilityPolicy(IntEnum):
    RELIABLE = 1
    BEST_EFFORT = 2

class DurabilityPolicy(IntEnum):
    TRANSIENT_LOCAL = 1
    VOLATILE = 2

class QoSProfile:
    def __init__(
        self,
        *,
        depth: int = ...,
        reliability: ReliabilityPolicy = ...,
        durability: DurabilityPolicy = ...,
        **options: Any,
    ) -> None: ...
