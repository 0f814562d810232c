"""Reading a provider's ledger in trouble: refused, limited, longer than a run, hostile, killed, done twice at once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
import redis

from events.models import AdapterEvent
from providers.adapters.github.ledger import GitHubLedger
from providers.simulation import SimulatedAnswer
from tests.lost_deliveries import API, WEB, asked, at, event_of, id_of, issue, looked_after, lose, states, turn
from tests.missed_world import World
from webhooks import ingress, ledger_reading
from webhooks.models import MissedDelivery, QuarantinedDelivery, WatchedHook
from webhooks.reconciliation import reconcile, reconcile_due
from webhooks.repair_lease import claim_due

pytestmark = pytest.mark.django_db


@pytest.fixture
def made(settings: Any) -> Iterator[World]:
    with looked_after(settings) as running:
        yield running


class TestRefusals:
    def test_one_place_that_refuses_says_why_and_keeps_no_other(self, made: World) -> None:
        lose(made, place=WEB), lose(made, place=API)
        usual = made.server.answer

        def refusing(method: str, path: str, *rest: Any) -> SimulatedAnswer:
            return SimulatedAnswer(403, {}, b"{}") if f"{API}/hooks" in path else usual(method, path, *rest)

        made.server.answer = refusing
        turn(made)
        trouble = WatchedHook.objects.get(place=API)
        assert "Webhooks: write" in trouble.last_error
        assert API in trouble.last_error
        assert WatchedHook.objects.get(place=WEB).last_error == ""
        assert [row.watch.place for row in MissedDelivery.objects.all()] == [WEB]
        before = asked(made, f"{API}/hooks/480002")
        turn(made)
        assert asked(made, f"{API}/hooks/480002") == before, "it is asked again before a person can have acted"
        made.server.answer = usual
        for _ in range(5):
            turn(made)
        assert WatchedHook.objects.get(place=API).last_error == ""
        assert states() == ["arrived", "arrived"]

    def test_a_credential_that_may_only_read_fetches(self, made: World) -> None:
        lost = lose(made, 3)
        usual = made.server.answer

        def read_only(method: str, path: str, *rest: Any) -> SimulatedAnswer:
            return SimulatedAnswer(403, {}, b"{}") if method != "GET" else usual(method, path, *rest)

        made.server.answer = read_only
        turn(made)
        assert states() == ["fetched"] * 3
        assert asked(made, "/attempts", "POST") == 1
        assert [event_of(attempt).proof for attempt in lost] == ["hmac:ledger"] * 3

    def test_a_dead_credential_is_asked_with_once(self, made: World) -> None:
        made.server.answer = lambda *_: SimulatedAnswer(401, {}, b"{}")
        before = len(made.server.asked)
        (done,) = turn(made)
        assert len(made.server.asked) == before + 1
        assert done.due_in == timedelta(minutes=15)

    def test_a_limit_is_obeyed(self, made: World, settings: Any) -> None:
        lose(made, 2)
        usual = made.server.answer

        def limited(method: str, path: str, *rest: Any) -> SimulatedAnswer:
            slow = SimulatedAnswer(429, {"retry-after": "600"}, b"{}")
            return slow if method == "POST" else usual(method, path, *rest)

        made.server.answer = limited
        (done,) = turn(made)
        assert done.due_in == timedelta(seconds=600)
        before = len(made.server.asked)
        assert turn(made) == []
        assert len(made.server.asked) == before
        made.server.answer = usual
        # There the wait is kept as well, for all who use the credential, by a clock that is not simulated.
        redis.Redis.from_url(settings.REDIS_URL).flushdb()
        turn(made), turn(made), turn(made)
        assert states() == ["arrived", "arrived"]

    def test_no_more_is_asked_for_in_a_minute_than_the_pace_and_the_rest_is_fetched(
        self, made: World, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr(GitHubLedger, "redeliveries_a_minute", 2)
        lose(made, 3, WEB), lose(made, 2, API)
        turn(made)
        assert states() == ["asked", "asked", "fetched", "fetched", "fetched"]

    def test_a_provider_that_is_away_is_asked_again_within_minutes(self, made: World) -> None:
        def nobody(*_: Any) -> SimulatedAnswer:
            raise ConnectionAbortedError("on purpose")

        made.server.answer = nobody
        waits = [turn(made)[0].due_in for _ in range(5)]
        assert waits == [timedelta(seconds=seconds) for seconds in (60, 120, 240, 240, 240)]


class TestLongLedgers:
    @pytest.fixture(autouse=True)
    def _short_runs(self, monkeypatch: Any) -> None:
        monkeypatch.setattr(ledger_reading, "PAGES_A_RUN", 2)
        monkeypatch.setattr("providers.adapters.github.ledger.PAGE_SIZE", 5)

    def test_a_ledger_longer_than_a_run_is_read_on_by_the_next(self, made: World) -> None:
        (first,) = lose(made)
        for _ in range(24):
            for delivery in issue(made.simulator):
                for attempt in at(made, delivery):
                    made.simulator.attempted(attempt, made.post(attempt))
        watch = WatchedHook.objects.get(place=WEB)
        (done,) = turn(made)
        assert done.due_in == timedelta(seconds=1)
        assert not MissedDelivery.objects.exists()
        halfway = WatchedHook.objects.get(place=WEB)
        assert halfway.read_at == watch.read_at
        (second,) = lose(made)
        turn(made)
        assert not MissedDelivery.objects.exists(), "the reading did not go on where it was"
        turn(made)
        assert set(MissedDelivery.objects.values_list("delivery_id", flat=True)) == {id_of(first)}
        turn(made)
        assert set(MissedDelivery.objects.values_list("delivery_id", flat=True)) == {id_of(first), id_of(second)}

    def test_a_mark_that_went_stale_begins_the_reading_anew(self, made: World) -> None:
        (first,) = lose(made)
        for _ in range(14):
            for delivery in issue(made.simulator):
                for attempt in at(made, delivery):
                    made.simulator.attempted(attempt, made.post(attempt))
        turn(made)
        usual = made.server.answer

        def stale(method: str, path: str, query: dict[str, list[str]], *rest: Any) -> SimulatedAnswer:
            known = made.server.asked[-1]
            if "cursor" in query and known not in refused:
                refused.append(known)
                return SimulatedAnswer(422, {}, b"{}")
            return usual(method, path, query, *rest)

        refused: list[tuple[str, str]] = []
        made.server.answer = stale
        for _ in range(4):
            turn(made)
        assert refused
        assert id_of(first) in MissedDelivery.objects.values_list("delivery_id", flat=True)


class TestHostileLedgers:
    def test_another_delivery_than_the_one_asked_for_is_not_recorded(self, made: World) -> None:
        first, second = lose(made, 2)
        made.web_runs = False
        kept = made.simulator.hooks.ledger.kept[first.hook]
        kept[-1]["request"], kept[-1]["guid"] = kept[-2]["request"], kept[-1]["guid"]
        usual = made.server.answer
        numbers = [entry["id"] for entry in kept[-2:]]

        def swapping(method: str, path: str, *rest: Any) -> SimulatedAnswer:
            return usual(method, path.replace(f"deliveries/{numbers[1]}", f"deliveries/{numbers[0]}"), *rest)

        made.server.answer = swapping
        turn(made)
        missed = MissedDelivery.objects.get(delivery_id=id_of(second))
        assert (missed.state, missed.tries) == ("missing", 1)
        assert "another delivery" in missed.last_error
        assert [row.dedupe_key for row in AdapterEvent.objects.all()] == [f"delivery:{id_of(first)}"]

    def test_a_ledger_that_leads_in_a_circle_is_left(self, made: World) -> None:
        lose(made, 3)
        usual = made.server.answer

        def circling(method: str, path: str, *rest: Any) -> SimulatedAnswer:
            answer = usual(method, path, *rest)
            if not path.endswith("/deliveries"):
                return answer
            link = f'<{path}?cursor=v1_7000003>; rel="next"'
            return SimulatedAnswer(answer.status, {**answer.headers, "link": link}, answer.body)

        made.server.answer = circling
        turn(made)
        watch = WatchedHook.objects.get(place=WEB)
        assert "does not end" in watch.last_error
        assert watch.walk == {}
        assert MissedDelivery.objects.count() == 3

    def test_an_unreadable_delivery_is_kept_aside_once(self, made: World) -> None:
        lose(made)
        made.web_runs = False
        with patch("providers.adapters.github.webhook.classify", side_effect=RuntimeError("on purpose")):
            turn(made)
        assert states() == ["fetched"]
        assert QuarantinedDelivery.objects.get().proof == "hmac:ledger"
        turn(made)
        assert MissedDelivery.objects.count() == 1


class TestLeases:
    def test_two_claim_nothing_twice(self, made: World) -> None:
        made.time.pass_by(timedelta(minutes=4))
        assert len(claim_due(10)) == 1
        assert claim_due(10) == []

    def test_a_worker_that_wakes_late_writes_nothing(self, made: World) -> None:
        lose(made)
        made.time.pass_by(timedelta(minutes=4))
        (claim,) = claim_due(10)
        usual = made.server.answer

        def slow(method: str, path: str, *rest: Any) -> SimulatedAnswer:
            if path.endswith("/deliveries"):
                taken_over.append(True)
            return usual(method, path, *rest)

        taken_over: list[bool] = []
        made.server.answer = slow
        listed = GitHubLedger.attempts

        def overtaken(self: Any, *args: Any, **given: Any) -> Any:
            page = listed(self, *args, **given)
            made.time.pass_by(timedelta(minutes=6))
            assert len(claim_due(10)) == 1
            return page

        with patch.object(GitHubLedger, "attempts", overtaken):
            assert reconcile(claim).outcome == "lease_lost"
        assert taken_over
        assert not MissedDelivery.objects.exists()
        assert WatchedHook.objects.get(place=WEB).walk == {}

    def test_killed_between_asking_and_noting_it_is_asked_again_and_stays_one(self, made: World) -> None:
        (lost,) = lose(made)
        ask = GitHubLedger.redeliver

        def killed(self: Any, *args: Any, **given: Any) -> None:
            ask(self, *args, **given)
            raise KeyboardInterrupt

        made.time.pass_by(timedelta(minutes=4))
        ingress.beat()
        with patch.object(GitHubLedger, "redeliver", killed), pytest.raises(KeyboardInterrupt):
            reconcile_due()
        assert states() == ["missing"]
        assert reconcile_due() == [], "the lease still runs"
        # The provider is slow as well: what was asked for first comes after it was asked for again.
        late = made.simulator.asked_again()
        made.time.pass_by(timedelta(minutes=6))
        ingress.beat()
        reconcile_due()
        assert asked(made, "/attempts", "POST") == 2
        assert [made.post(attempt) for attempt in [*late, *made.simulator.asked_again()]] == [202, 200]
        turn(made)
        assert states() == ["arrived"]
        assert event_of(lost)
        assert AdapterEvent.objects.count() == 1

    def test_killed_between_fetching_and_recording_it_is_fetched_again(self, made: World) -> None:
        (lost,) = lose(made)
        made.web_runs = False
        made.time.pass_by(timedelta(minutes=4))
        with patch("webhooks.repair.take", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
            reconcile_due()
        assert (states(), AdapterEvent.objects.count()) == (["missing"], 0)
        made.time.pass_by(timedelta(minutes=6))
        reconcile_due()
        assert states() == ["fetched"]
        assert event_of(lost)

    def test_an_adapter_with_a_fault_in_one_place_keeps_no_other(self, made: World) -> None:
        lose(made, place=API)
        listed = GitHubLedger.attempts

        def faulty(self: Any, client: Any, *, target: str, **given: Any) -> Any:
            if target == WEB:
                raise RuntimeError("on purpose")
            return listed(self, client, target=target, **given)

        with patch.object(GitHubLedger, "attempts", faulty):
            turn(made)
        assert "Our own fault (RuntimeError)" in WatchedHook.objects.get(place=WEB).last_error
        assert states() == ["asked"]
