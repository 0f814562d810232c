"""The polled API, in a process of its own: a list that is filtered by ``since``, paged, and answers 304.

All records are rendered before it listens; an answer is a hundred of them joined. ``python -m … PORT RECORDS``.
"""

from __future__ import annotations

import hashlib
import math
import sys
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from integration_adapters.bench import records

QUOTA = 10_000_000


def server(port: int, number: int) -> ThreadingHTTPServer:
    """The API over so many records; it answers once ``serve_forever`` runs."""
    rows = records.rendered(number)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_GET(self) -> None:
            place = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(place.query).items()}
            size, page = int(query.get("per_page", "30")), int(query.get("page", "1"))
            start = _first_since(query.get("since", "")) + (page - 1) * size
            content = b"[" + b",".join(rows[start : start + size]) + b"]"
            etag = f'W/"{hashlib.blake2b(f"{start}:{size}:{number}".encode(), digest_size=16).hexdigest()}"'
            unchanged = self.headers.get("If-None-Match") == etag
            self.send_response(304 if unchanged else 200)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("ETag", etag)
            self.send_header("X-RateLimit-Limit", str(QUOTA))
            self.send_header("X-RateLimit-Remaining", str(QUOTA))
            if start + size < number:
                following = urlencode({**query, "page": page + 1})
                self.send_header("Link", f'<http://{self.headers["Host"]}{place.path}?{following}>; rel="next"')
            if not unchanged:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if not unchanged:
                self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    made = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    made.daemon_threads = True
    return made


def _first_since(since: str) -> int:
    """Index of the first record changed at or after ``since``."""
    if not since:
        return 0
    return max(0, math.ceil((datetime.fromisoformat(since) - records.FIRST_CHANGE) / records.BETWEEN_CHANGES))


if __name__ == "__main__":
    server(int(sys.argv[1]), int(sys.argv[2])).serve_forever()
