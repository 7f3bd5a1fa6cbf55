"""The real app in a process of its own, for tests: started on a free port, stopped politely or killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
APART = {"OMP_NUM_THREADS": "1", "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_CACHE": "/nowhere"}
"""Without the models of this computer, and without a network."""


class Server:
    """`face-studio app` at `url`; `seconds` is how long it took to open, `places` its folders on disk."""

    def __init__(self, temporary: Path, *words: str, patience: float = 180) -> None:
        self.temporary = temporary
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = temporary / "app.log"
        began = time.monotonic()
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "demos.cli", "app", "--port", str(self.port), *words],
                cwd=ROOT,
                env={**os.environ, **APART, "TMPDIR": str(temporary), "FACE_STUDIO_MODELS": str(temporary / "models")},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        while "is open at" not in self.log.read_text():
            if self.process.poll() is not None or time.monotonic() - began > patience:
                self.kill()
                raise RuntimeError(f"the app did not open: {self.log.read_text()}")
            time.sleep(0.05)
        self.seconds = time.monotonic() - began

    def places(self) -> list[Path]:
        """The folders of all runs that are there now."""
        return sorted(self.temporary.glob("face-studio-app-*"))

    def memory(self) -> float:
        """Megabytes that the process holds now."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        return 0.0

    def stop(self) -> int:
        """Ends it as a service manager does; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self) -> None:
        """Ends it as a power cut does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.kill()


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
