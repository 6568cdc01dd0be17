"""What the process and the machine are doing: memory, processors, GPUs."""

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from rnnr.reporting._gpus import Gpus

__all__ = ["SYSTEM", "System"]

SYSTEM = "system/"
"""What the names of these metrics begin with."""

_EVERY = 5.0  # seconds between two samples
_MB = 1e6  # bytes

try:
    import resource
except ImportError:  # pragma: no cover  (Windows)
    resource = None  # type: ignore[assignment]


class System:
    """Samples the memory and the processors of the process and of the machine, and the GPUs.

    What cannot be read is left out. A sample takes some 50 µs, and about a millisecond more for
    each GPU.

    Args:
        clock: Returns a time in seconds that never goes back.
        proc: Folder in which Linux tells about processes.
        gpus: Returns the metrics of the GPUs.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        proc: Path = Path("/proc"),
        gpus: Callable[[], dict[str, float]] | None = None,
    ) -> None:
        self._clock = clock
        self._is_linux = (proc / "self" / "statm").exists()
        self._proc = str(proc)
        self._gpus = gpus
        self._due = clock()
        self._own = Share()
        self._machine = Share()

    def sample(self) -> dict[str, float]:
        """Return the metrics if it is time for a sample, else nothing."""
        now = self._clock()
        if now < self._due:
            return {}
        self._due = now + _EVERY
        own = self._linux if self._is_linux else self._elsewhere
        if self._gpus is None:
            self._gpus = Gpus().sample
        found = self._own.of("cpu_percent", time.process_time(), now)
        for read in (own, self._gpus):
            with suppress(Exception):  # a view never breaks a run
                found.update(read())
        return {f"{SYSTEM}{name}": value for name, value in found.items()}

    def _linux(self) -> dict[str, float]:
        pages = int(self._read("self/statm").split()[1])
        lines = self._read("meminfo").splitlines()
        memory = {name: int(rest.split()[0]) for name, _, rest in (x.partition(":") for x in lines)}
        free = memory["MemAvailable"] / memory["MemTotal"]
        ticks = [*map(int, self._read("stat").split("\n", 1)[0].split()[1:9])]
        idle = ticks[3] + ticks[4]
        return {
            "memory_mb": pages * os.sysconf("SC_PAGE_SIZE") / _MB,
            "machine_memory_percent": 100 * (1 - free),
            **self._machine.of("machine_cpu_percent", sum(ticks) - idle, sum(ticks)),
        }

    def _elsewhere(self) -> dict[str, float]:
        """Return what the standard library knows: of the memory, the most so far."""
        found = {}
        if resource is not None:
            most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            found["most_memory_mb"] = most * (1 if sys.platform == "darwin" else 1024) / _MB
        if hasattr(os, "getloadavg"):
            n_processors = os.cpu_count() or 1
            found["machine_load_percent"] = 100 * os.getloadavg()[0] / n_processors
        return found

    def _read(self, name: str) -> str:
        with open(f"{self._proc}/{name}", encoding="ascii", errors="replace") as file:
            return file.read(4096)


class Share:
    """The share of a counter in another one, from one sample to the next."""

    def __init__(self) -> None:
        self._before: tuple[float, float] | None = None

    def of(self, name: str, part: float, whole: float) -> dict[str, float]:
        """Return the share in percent by its name; nothing at the first sample."""
        before, self._before = self._before, (part, whole)
        if before is None or whole <= before[1]:
            return {}
        return {name: max(0.0, 100 * (part - before[0]) / (whole - before[1]))}
