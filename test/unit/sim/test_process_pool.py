"""Worker processes leave Ctrl-C to their parent, from their first moment on."""

import signal

from vima_ros.sim.process_pool import worker_pool

# Imported by the worker before anything of ours runs in it: what the mask is by then.
MASK_AT_START = signal.pthread_sigmask(signal.SIG_BLOCK, [])


def mask_at_start() -> set[int]:
    return {int(number) for number in MASK_AT_START}


def test_workers_block_an_interrupt_before_they_import_anything():
    with worker_pool(1) as pool:
        assert signal.SIGINT in pool.submit(mask_at_start).result(60)
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
