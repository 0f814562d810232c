"""Payloads at rest: JSON, zstd level 1.

PostgreSQL's own compression costs more processor time than ours at webhook sizes, so the columns are
stored as they are (see the migration that sets STORAGE EXTERNAL).
"""

from __future__ import annotations

import threading
from typing import Any

import orjson
import zstandard

MAX_UNPACKED_BYTES = 64 * 1024 * 1024

# A compressor may not be shared between threads; making one per call would cost more than compressing.
_local = threading.local()


def pack(value: Any) -> bytes:
    """Compressed JSON of ``value``."""
    return pack_text(orjson.dumps(value))


def pack_text(text: bytes) -> bytes:
    """The same for a value that is JSON text already."""
    compressor = getattr(_local, "compressor", None)
    if compressor is None:
        compressor = _local.compressor = zstandard.ZstdCompressor(level=1)
    packed: bytes = compressor.compress(text)
    return packed


def unpack(packed: bytes | memoryview) -> Any:
    """The value ``pack`` was given."""
    decompressor = getattr(_local, "decompressor", None)
    if decompressor is None:
        decompressor = _local.decompressor = zstandard.ZstdDecompressor()
    return orjson.loads(decompressor.decompress(bytes(packed), max_output_size=MAX_UNPACKED_BYTES))
