"""The sink answers as the ingestion service does, so that what passes here passes there."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from events.envelope import SCHEMA_VERSION
from integration_adapters.sandbox.faults import Switchboard
from integration_adapters.sandbox.server import Sandbox, serve
from integration_adapters.sandbox.sink import Sink

PRODUCER = str(uuid.uuid4())


class Client:
    """Calls of one tenant."""

    def __init__(self, url: str, tenant: str) -> None:
        self.url = url
        self.tenant = tenant

    def call(self, method: str, path: str, body: Any = None) -> requests.Response:
        headers = {"Authorization": f"Bearer sandbox-{self.tenant}", "X-Tenant-ID": self.tenant}
        return requests.request(method, self.url + path, json=body, headers=headers, timeout=10)

    def register(self, **changes: Any) -> requests.Response:
        return self.call("POST", "/sink/v1/producers/register", {"producer": producer(**changes)})

    def ingest(self, *signals: Any) -> list[dict[str, Any]]:
        answer = self.call("POST", "/sink/v1/signals/ingest", {"signals": list(signals)})
        assert answer.status_code == 200, answer.text
        results: list[dict[str, Any]] = answer.json()["results"]
        return results


def producer(**changes: Any) -> dict[str, Any]:
    return {
        "producer_id": PRODUCER,
        "name": "a connection",
        "plane": "tenant_cloud",
        "owner": "acme",
        "allowed_signal_kinds": ["event"],
        "allowed_signal_types": ["issue_created"],
        "contract_versions": {"issue_created": SCHEMA_VERSION},
        "max_rate_per_minute": 100,
        "schema_version": SCHEMA_VERSION,
        **changes,
    }


def signal(**changes: Any) -> dict[str, Any]:
    return {
        "signal_id": str(uuid.uuid4()),
        "tenant_id": "acme",
        "environment": "dev",
        "producer_id": PRODUCER,
        "signal_kind": "event",
        "signal_type": "issue_created",
        "occurred_at": "2026-05-04T10:00:00.000Z",
        "ingested_at": "2026-05-04T10:00:01.000Z",
        "payload": {"event_name": "issue_created", "severity": "info", "provider_metadata": {"source": "poll"}},
        "schema_version": SCHEMA_VERSION,
        **changes,
    }


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "sink.sqlite3"


@pytest.fixture
def url(store: Path) -> Iterator[str]:
    switchboard = Switchboard(["tracker"])
    server = serve(Sandbox({}, Sink(store, switchboard), switchboard), "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def acme(url: str) -> Client:
    return Client(url, "acme")


def test_a_registered_producers_signal_is_accepted_once(acme: Client, url: str) -> None:
    assert acme.register().status_code == 201
    sent = signal()
    assert acme.ingest(sent)[0]["status"] == "accepted"
    again = acme.ingest(sent)[0]
    assert (again["status"], again["error_code"], again["error_message"]) == (
        "rejected",
        None,
        "Duplicate signal discarded",
    )
    summary = requests.get(f"{url}/sink/summary", timeout=10).json()
    assert (summary["signals"], summary["repeats"], summary["by_source"]) == (1, 1, {"poll": 1})
    kept = requests.get(f"{url}/sink/signals?signal_id={sent['signal_id']}", timeout=10).json()
    assert [(row["times_seen"], row["signal"]) for row in kept] == [(2, sent)]


def test_each_result_stands_for_itself(acme: Client) -> None:
    acme.register()
    results = acme.ingest(signal(), signal(payload={}), signal(tenant_id="globex"), signal(signal_type="push"))
    assert [(r["status"], r["error_code"]) for r in results] == [
        ("accepted", None),
        ("rejected", "SCHEMA_VIOLATION"),
        ("rejected", "TENANT_ISOLATION_VIOLATION"),
        ("rejected", "SIGNAL_TYPE_NOT_ALLOWED"),
    ]


def test_an_unknown_producer_is_refused_until_it_registers(acme: Client) -> None:
    sent = signal()
    assert acme.ingest(sent)[0]["error_code"] == "PRODUCER_NOT_REGISTERED"
    acme.register()
    assert acme.ingest(sent)[0]["status"] == "accepted"


def test_a_type_without_a_contract_version_is_refused_until_the_producer_is_updated(acme: Client) -> None:
    acme.register(contract_versions={})
    assert acme.ingest(signal())[0]["error_code"] == "SCHEMA_VIOLATION"
    assert acme.register().status_code == 400  # it exists already
    assert acme.call("PUT", f"/sink/v1/producers/{PRODUCER}", {"producer": producer()}).status_code == 200
    assert acme.ingest(signal())[0]["status"] == "accepted"


def test_a_contract_version_nobody_knows_is_refused(acme: Client) -> None:
    assert acme.register(contract_versions={"issue_created": "99.0.0"}).status_code == 400


def test_producers_of_another_tenant_are_not_there(acme: Client, url: str) -> None:
    acme.register()
    assert acme.call("GET", f"/sink/v1/producers/{PRODUCER}").json()["name"] == "a connection"
    assert Client(url, "globex").call("GET", f"/sink/v1/producers/{PRODUCER}").status_code == 404


def test_a_request_without_a_known_token_is_401(url: str) -> None:
    for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": "Bearer sandbox"}):
        answer = requests.post(f"{url}/sink/v1/signals/ingest", json={"signals": []}, headers=headers, timeout=10)
        assert answer.status_code == 401
        assert "detail" in answer.json()


@pytest.mark.parametrize("signals", [[], "no list", [signal()] * 1001])
def test_a_batch_of_the_wrong_size_is_422(acme: Client, signals: Any) -> None:
    assert acme.call("POST", "/sink/v1/signals/ingest", {"signals": signals}).status_code == 422


def test_what_arrived_is_still_there_after_a_restart(acme: Client, store: Path) -> None:
    acme.register()
    acme.ingest(signal())
    assert Sink(store, Switchboard([])).summary()["signals"] == 1


def test_faults_are_switched_on_and_off(acme: Client, url: str) -> None:
    control = f"{url}/control"
    acme.register()
    assert requests.post(control, json={"sink": {"down": True}}, timeout=10).json()["sink"]["down"] is True
    with pytest.raises(requests.ConnectionError):
        acme.ingest(signal())
    requests.post(control, json={"sink": {"down": False, "error_rate": 1}}, timeout=10)
    assert acme.call("POST", "/sink/v1/signals/ingest", {"signals": [signal()]}).status_code == 500
    requests.post(control, json={"sink": {"error_rate": 0, "throttle_rate": 1}}, timeout=10)
    limited = acme.call("POST", "/sink/v1/signals/ingest", {"signals": [signal()]})
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "1")
    requests.post(control, json={"sink": {"throttle_rate": 0, "signal_error": "DOWNSTREAM_ERROR"}}, timeout=10)
    assert acme.ingest(signal())[0]["error_code"] == "DOWNSTREAM_ERROR"
    requests.post(control, json={"sink": {}}, timeout=10)
    assert acme.ingest(signal())[0]["status"] == "accepted"


@pytest.mark.parametrize(
    "wanted", [{"nobody": {"down": True}}, {"sink": {"sideways": 1}}, {"sink": {"error_rate": "x"}}, 7]
)
def test_a_fault_nobody_knows_is_refused(url: str, wanted: Any) -> None:
    assert requests.post(f"{url}/control", json=wanted, timeout=10).status_code == 400
