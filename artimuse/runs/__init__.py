"""What every run has, whatever it does: its Ray cluster, signals, the lock on its output, its record, progress.

To be imported before Ray itself.
"""

import os

# Otherwise any call to Ray from a thread that outlives `ray.shutdown` starts a cluster of its own, while the process
# ends (Ray 2.60 reads this on import).
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
