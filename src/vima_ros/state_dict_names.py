"""Names of a state dict's tensors without the prefixes of wrappers."""

from __future__ import annotations

import logging
from collections.abc import Iterable

# Parts of a tensor's name that DataParallel, DDP, torch.compile, FSDP and Lightning put into it.
WRAPPERS = frozenset(
    [
        "module",
        "_orig_mod",
        "_fsdp_wrapped_module",
        "_checkpoint_wrapped_module",
        "_forward_module",
    ]
)


def strip_wrappers(names: Iterable[str]) -> dict[str, str]:
    """Map each tensor's name to the name without wrappers' parts."""
    return {
        name: ".".join(p for p in name.split(".") if p not in WRAPPERS) or name for name in names
    }


def log_stripped(file: str, names: dict[str, str]) -> None:
    """Log the parts that ``strip_wrappers`` removed from a file's names, if any."""
    removed = {p for old, new in names.items() if old != new for p in old.split(".")} & WRAPPERS
    if removed:
        prefixes = " and ".join(f"{part}." for part in sorted(removed))
        logging.getLogger(__name__).warning(
            "%s: %s taken off the names of its tensors (saved from DataParallel or torch.compile)",
            file,
            prefixes,
        )
