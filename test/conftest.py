"""Settings of all tests.

No property has a deadline: how long an example takes is the machine's affair. Processes that tests
start die of SIGHUP as in a terminal, also where the tests run under nohup.
"""

import signal

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
signal.signal(signal.SIGHUP, signal.SIG_DFL)
