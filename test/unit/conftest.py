"""One thread of torch and BLAS per process: the tests run side by side, a process per core.

With a thread per core in each of them, small networks wait for busy cores most of the time.
Processes that tests start inherit it.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read once, when torch and numpy are imported
