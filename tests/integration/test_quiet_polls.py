"""What polling asks where nothing happens, and that the bench measures what it says."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from events.models import AdapterEvent
from integration_adapters.bench import mapping, poll_road, quiet_day, record_api, records
from integration_adapters.sandbox.worlds import simulator_class
from providers import registry

pytestmark = pytest.mark.django_db

POLLED = [slug for slug in sorted(registry.BUILT_IN) if registry.load(slug).streams and simulator_class(slug)]
RECORDS = 250


@pytest.mark.parametrize("slug", POLLED)
def test_a_poll_of_any_stream_with_nothing_new_is_one_request(slug: str) -> None:
    asked = {one["stream"]: one["requests_a_poll"] for one in quiet_day.streams_of(slug, polls=6)}
    assert asked == {stream.name: 1 for stream in registry.load(slug).streams}


@pytest.fixture
def record_address() -> Iterator[str]:
    server = record_api.server(0, RECORDS)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_bench_reads_each_record_once_and_maps_it(record_address: str) -> None:
    connection = poll_road.connect(record_address, records.FIRST_CHANGE)
    found = poll_road.read_all(connection)
    assert (found["records"], AdapterEvent.objects.filter(connection=connection).count()) == (RECORDS, RECORDS)
    assert found["requests"] == 3
    mapping.measure(RECORDS)
