"""An object server on the loopback that fails as it is told: plain HTTP and S3 over a local folder.

    plan = FaultPlan(seed=7, stall=0.01, reset=0.1)
    async with FaultServer(folder, plan) as server:
        ...  # server.url, server.s3_endpoint, server.log, server.counters
    with serve_in_thread(folder, plan) as server:
        ...  # the same, for synchronous code
    with serve_in_process(folder, plan) as server:
        ...  # the same in another process: server.url, server.s3_endpoint

`python -m benchmarks.faults FOLDER --seed 7 --stall 0.01 --reset 0.1` serves until a signal.
"""

from benchmarks.faults.plan import Asked, Fault, FaultPlan, Kind
from benchmarks.faults.process import Apart, flags_of, serve_in_process
from benchmarks.faults.server import Counters, FaultServer, Served, serve_in_thread

__all__ = [
    "Apart",
    "Asked",
    "Counters",
    "Fault",
    "FaultPlan",
    "FaultServer",
    "Kind",
    "Served",
    "flags_of",
    "serve_in_process",
    "serve_in_thread",
]
