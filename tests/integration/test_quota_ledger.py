"""The ledger of a provider's quotas: what passes, what is kept for whom, what answers teach. On the real Valkey."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import time_machine

from providers.errors import QuotaSpent
from providers.quotas import Quota, Traffic
from tests.factories import GLOBEX
from tests.quota_rig import HEADERS, TOKEN, Rig, call, entered, refused, running_rig, spent_by

ROLLING = Quota(name="requests", units=100, window_seconds=60)
FIXED = Quota(name="requests", kind="fixed", units=100, window_seconds=60, headers=HEADERS)
LEAKY = Quota(name="requests", kind="leaky", units=100, window_seconds=100, headers=HEADERS)
# A told reset is taken as a second, or a hundredth of the window, later than it may be: it was rounded.
ROUNDING = 0.6


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    with running_rig(monkeypatch) as running:
        yield running


class TestRollingWindow:
    def test_no_window_holds_more_than_the_limit_wherever_it_begins(self, rig: Rig) -> None:
        gate, sent = rig.gate(ROLLING, traffic=Traffic.BACKFILL), []
        for _ in range(500):
            rig.advance(0.37)
            try:
                call(gate)
            except QuotaSpent:
                continue
            sent.append(rig.now)
        assert max(sum(start <= at < start + 60 for at in sent) for start in sent) <= 100
        assert len(sent) >= 0.9 * 100 * 3

    def test_a_call_counts_from_its_answer_because_nobody_knows_when_it_arrived(self, rig: Rig) -> None:
        gate = rig.gate(Quota(name="requests", units=1, window_seconds=60))
        (passage,) = entered(gate)
        rig.advance(59)
        passage.answered(200, {}, limited=False)
        rig.advance(50)
        assert refused(gate).retry_after_seconds == pytest.approx(11, abs=1.2)
        rig.advance(12)
        call(gate)

    def test_a_refusal_says_when_there_is_room(self, rig: Rig) -> None:
        gate = rig.gate(ROLLING)
        assert spent_by(gate) == 100
        wait = refused(gate).retry_after_seconds or 0
        assert 60 <= wait <= 62
        rig.advance(wait)
        call(gate)

    def test_writes_and_some_paths_may_cost_more(self, rig: Rig) -> None:
        gate = rig.gate(Quota(name="points", units=100, write_cost=5, costs=((r"/search$", 60),)))
        call(gate, path="/search")
        assert "(points)" in str(refused(gate, path="/search"))
        for _ in range(8):
            call(gate, method="POST")
        refused(gate, "DELETE")

    def test_only_what_a_quota_names_is_counted(self, rig: Rig) -> None:
        writes = Quota(name="writes", units=1, only="writes", path=r"/notes$")
        gate = rig.gate(writes)
        call(gate, method="POST", path="/notes")
        refused(gate, "POST", "/notes")
        call(gate, method="POST", path="/issues")
        call(gate, path="/notes")

    def test_groups_of_the_path_are_counted_apart(self, rig: Rig) -> None:
        gate = rig.gate(Quota(name="a method", units=1, path=r"/([a-z.]+)$"))
        call(gate, path="/users.list")
        refused(gate, path="/users.list")
        call(gate, path="/users.info")

    def test_a_quota_may_hold_for_some_settings_only(self, rig: Rig) -> None:
        limited = Quota(name="limited", units=1, setting="limited")
        assert spent_by(rig.gate(limited, ROLLING, settings={"limited": True})) == 1
        assert spent_by(rig.gate(limited, ROLLING, token="other", settings={"limited": False})) == 100


class TestFixedWindow:
    def test_until_it_is_told_it_is_counted_as_rolling(self, rig: Rig) -> None:
        gate = rig.gate(FIXED)
        assert spent_by(gate) == 100
        rig.advance(59)
        refused(gate)

    def test_headers_say_what_the_limit_is_and_when_it_begins_anew(self, rig: Rig) -> None:
        gate = rig.gate(FIXED)
        call(gate, rig.told(300, 299, 30))
        assert spent_by(gate) == 299
        assert refused(gate).retry_after_seconds == pytest.approx(30 + ROUNDING)
        rig.advance(30 + ROUNDING)
        assert spent_by(gate) == 300

    def test_what_others_spend_with_the_token_lowers_ours(self, rig: Rig) -> None:
        gate = rig.gate(FIXED)
        call(gate, rig.told(100, 40, 30))
        assert spent_by(gate) == 40

    def test_an_older_answer_gives_nothing_back(self, rig: Rig) -> None:
        gate = rig.gate(FIXED)
        first, second = entered(gate, 2)
        second.answered(200, rig.told(100, 50, 30), limited=False)
        first.answered(200, rig.told(200, 180, 30), limited=False)
        assert spent_by(gate) == 50

    def test_calls_under_way_are_counted(self, rig: Rig) -> None:
        gate = rig.gate(FIXED)
        call(gate, rig.told(100, 99, 50))
        entered(gate, 99)
        refused(gate)

    def test_what_may_be_counted_twice_for_now_is_asked_for_again_soon(self, rig: Rig) -> None:
        gate = rig.gate(FIXED)
        (under_way,) = entered(gate)
        call(gate, rig.told(100, 1, 50))
        assert refused(gate).retry_after_seconds == pytest.approx(0.1)
        under_way.answered(200, rig.told(100, 2, 50), limited=False)
        call(gate, rig.told(100, 0, 50))
        assert (refused(gate).retry_after_seconds or 0) > 50

    def test_what_the_provider_counted_of_them_is_not_counted_twice_for_good(self, rig: Rig) -> None:
        gate = rig.gate(FIXED)
        under_way = entered(gate, 50)
        # The last to leave arrived last: it tells that all 50 are counted.
        for passage in reversed(under_way):
            passage.answered(200, rig.told(100, 50, 50), limited=False)
        assert spent_by(gate) == 50

    def test_an_answer_of_the_window_before_teaches_nothing_about_this_one(self, rig: Rig) -> None:
        gate = rig.gate(FIXED)
        (late,) = entered(gate)
        old = rig.told(100, 0, 10)
        call(gate, old)
        rig.advance(11)
        call(gate, rig.told(100, 99, 59))
        late.answered(200, old, limited=False)
        assert spent_by(gate) == 99

    def test_what_is_under_way_when_it_begins_anew_counts_there_too(self, rig: Rig) -> None:
        gate = rig.gate(FIXED)
        call(gate, rig.told(100, 99, 10))
        entered(gate, 5)
        rig.advance(11)
        assert spent_by(gate) == 95

    def test_a_window_that_begins_before_we_thought_is_believed_and_the_one_before_is_over(self, rig: Rig) -> None:
        gate = rig.gate(FIXED)
        late, newer = entered(gate, 2)
        rig.advance(1)
        old = rig.told(100, 0, 40)
        call(gate, old)
        newer.answered(200, rig.told(100, 90, 90), limited=False)
        late.answered(200, old, limited=False)
        assert spent_by(gate) == 90

    def test_between_two_windows_an_answer_of_the_first_forgets_nothing(self, rig: Rig) -> None:
        gate = rig.gate(FIXED)
        (late,) = entered(gate)
        old = rig.told(100, 50, 10)
        call(gate, old)
        rig.advance(11)
        for _ in range(3):
            call(gate)
        late.answered(200, old, limited=False)
        assert spent_by(gate) == 97

    def test_what_was_answered_without_counters_stays_counted(self, rig: Rig) -> None:
        gate = rig.gate(FIXED)
        for _ in range(5):
            call(gate)
        call(gate, rig.told(100, 99, 50))
        assert spent_by(gate) == 95

    @pytest.mark.parametrize("ahead", [-86_400, -2, 0, 37, 86_400])
    def test_the_providers_clock_may_be_wrong(self, rig: Rig, ahead: float) -> None:
        rig.provider_ahead = ahead
        gate = rig.gate(FIXED)
        call(gate, rig.told(100, 0, 30))
        assert refused(gate).retry_after_seconds == pytest.approx(30 + ROUNDING)

    def test_answers_narrow_down_how_far_it_is_off_and_never_too_far(self, rig: Rig) -> None:
        gate = rig.gate(FIXED)
        rig.advance(0.9)
        call(gate, {**rig.told(100, 50, 0), "x-reset": str(int(rig.now) + 40)})
        rig.advance(0.15)
        call(gate, {**rig.told(100, 0, 0), "x-reset": str(int(rig.now) + 39)})
        # That tick of the provider's clock was seen 0.05 s late at most; what comes later in the second says less.
        assert refused(gate).retry_after_seconds == pytest.approx(39 + ROUNDING)
        (late,) = entered(rig.gate(Quota(name="another", units=100)))
        rig.advance(0.9)
        late.answered(200, {**rig.told(100, 0, 0), "x-reset": str(int(rig.now) + 39)}, limited=False)
        assert refused(gate).retry_after_seconds == pytest.approx(38.1 + ROUNDING)

    def test_the_clock_of_the_process_does_not_matter(self, rig: Rig) -> None:
        gate = rig.gate(FIXED)
        with time_machine.travel("2031-05-05T12:00:00Z", tick=False):
            call(gate, rig.told(100, 0, 30))
            assert refused(gate).retry_after_seconds == pytest.approx(30 + ROUNDING)

    def test_a_clock_that_is_set_back_locks_nobody_out(self, rig: Rig) -> None:
        fixed, rolling = rig.gate(FIXED), rig.gate(ROLLING, token="other")
        call(fixed, rig.told(100, 0, 30))
        assert spent_by(rolling) == 100
        rig.advance(-7200)
        assert refused(fixed).retry_after_seconds == pytest.approx(30 + ROUNDING)
        assert (refused(rolling).retry_after_seconds or 0) <= 62
        rig.advance(62)
        assert spent_by(rolling) == 100

    @pytest.mark.parametrize("remaining", ["", "many", "nan", "inf", "1e999", "0x10"])
    def test_a_counter_that_cannot_be_read_is_none(self, rig: Rig, remaining: str) -> None:
        gate = rig.gate(FIXED)
        call(gate, {**rig.told(100, 0, 30), "x-remaining": remaining})
        assert spent_by(gate) == 99

    def test_less_than_nothing_is_nothing(self, rig: Rig) -> None:
        gate = rig.gate(FIXED)
        call(gate, {**rig.told(100, 0, 30), "x-remaining": "-3"})
        refused(gate)

    def test_counters_of_another_quota_are_left_alone(self, rig: Rig) -> None:
        gate = rig.gate(Quota(name="core", kind="fixed", units=100, headers=HEADERS, scope=("x-resource", "core")))
        call(gate, rig.told(10, 0, 30, **{"x-resource": "search"}))
        assert spent_by(gate) == 99
        rig.advance(70)
        call(gate, rig.told(10, 5, 30, **{"x-resource": "core"}))
        assert spent_by(gate) == 5


class TestLeakyBucket:
    def test_it_refills_evenly(self, rig: Rig) -> None:
        gate = rig.gate(LEAKY)
        assert spent_by(gate) == 100
        rig.advance(10)
        assert spent_by(gate) == 10

    def test_headers_lower_it_and_an_older_one_gives_nothing_back(self, rig: Rig) -> None:
        gate = rig.gate(LEAKY)
        first, second = entered(gate, 2)
        second.answered(200, rig.told(100, 20, 80), limited=False)
        first.answered(200, rig.told(100, 60, 40), limited=False)
        assert spent_by(gate) == 20

    def test_a_cost_told_afterwards_replaces_what_was_set_aside(self, rig: Rig) -> None:
        gate = rig.gate(Quota(name="complexity", kind="leaky", units=100, read_cost=60, cost_header="x-cost"))
        (passage,) = entered(gate)
        assert refused(gate)
        passage.answered(200, {"x-cost": "3"}, limited=False)
        call(gate, {"x-cost": "3"})
        call(gate, {"x-cost": "2.5"})


class TestWhatIsGivenBack:
    def test_not_modified_is_free_where_the_provider_says_so(self, rig: Rig) -> None:
        gate = rig.gate(Quota(name="requests", units=2, free_not_modified=True))
        for _ in range(5):
            call(gate, status=304)
        assert spent_by(gate) == 2

    def test_elsewhere_it_is_not(self, rig: Rig) -> None:
        gate = rig.gate(Quota(name="requests", units=1))
        call(gate, status=304)
        refused(gate)

    def test_what_was_not_sent_is_not_spent_and_what_got_no_answer_is(self, rig: Rig) -> None:
        gate = rig.gate(Quota(name="requests", units=1))
        entered(gate)[0].unanswered(sent=False)
        entered(gate)[0].unanswered(sent=True)
        refused(gate)

    def test_the_slot_of_a_dead_process_comes_free_and_its_unit_is_spent(self, rig: Rig) -> None:
        gate = rig.gate(Quota(name="requests", units=3, window_seconds=600, concurrency=2))
        entered(gate, 2)
        assert "at once" in str(refused(gate))
        rig.advance(121)
        call(gate)
        assert "more urgent" in str(refused(gate))

    def test_an_answer_after_its_slot_ended_spends_nothing_more(self, rig: Rig) -> None:
        gate = rig.gate(Quota(name="requests", units=2, window_seconds=600))
        (slow,) = entered(gate)
        rig.advance(121)
        slow.answered(200, {}, limited=False)
        assert spent_by(gate) == 1

    def test_a_redis_that_was_flushed_starts_from_the_assumption_and_learns(self, rig: Rig) -> None:
        gate = rig.gate(FIXED)
        (late,) = entered(gate)
        call(gate, rig.told(10, 0, 30))
        refused(gate)
        rig.forget()
        late.answered(200, {}, limited=False)
        call(gate, rig.told(10, 4, 30))
        assert spent_by(gate) == 4


class TestOneQuota:
    def test_belongs_to_the_credential_whichever_tenant_uses_it(self, rig: Rig) -> None:
        assert spent_by(rig.gate(ROLLING)) == 100
        refused(rig.gate(ROLLING, tenant=GLOBEX))
        assert spent_by(rig.gate(ROLLING, token="another")) == 100
        assert spent_by(rig.gate(ROLLING, origin="https://other.example.test")) == 100

    def test_redis_holds_nothing_of_the_credential(self, rig: Rig) -> None:
        call(rig.gate(FIXED), rig.told(100, 50, 30))
        keys = [key for key in rig.store.scan_iter() if key.startswith(b"quota:")]
        assert keys
        assert not [key for key in keys if TOKEN.encode() in key + (rig.store.get(key) or b"")]

    def test_redis_holds_no_names_from_paths(self, rig: Rig) -> None:
        parts = Quota(name="pipelines", units=1, path=r"/projects/([^/]+)/pipeline$")
        call(rig.gate(parts), path="/projects/a-secret-project/pipeline")
        keys = [key for key in rig.store.scan_iter() if key.startswith(b"quota:")]
        assert len(keys) == 2
        assert not [key for key in keys if b"secret" in key + (rig.store.get(key) or b"")]

    def test_state_ends_by_itself(self, rig: Rig) -> None:
        call(rig.gate(ROLLING, LEAKY), {"retry-after": "20"})
        keys = [key for key in rig.store.scan_iter() if key.startswith(b"quota:")]
        assert len(keys) == 2
        assert all(rig.store.ttl(key) > 0 for key in keys)


class TestConcurrency:
    def test_of_slots_too_some_are_kept_for_urgent_calls(self, rig: Rig) -> None:
        quota = Quota(name="requests", units=1000, concurrency=8)
        entered(rig.gate(quota, traffic=Traffic.BACKFILL), 6)
        assert "at once" in str(refused(rig.gate(quota, traffic=Traffic.BACKFILL)))
        entered(rig.gate(quota, traffic=Traffic.POLL), 1)
        refused(rig.gate(quota, traffic=Traffic.POLL))
        entered(rig.gate(quota), 1)
        refused(rig.gate(quota))

    def test_a_single_slot_is_everybodys(self, rig: Rig) -> None:
        quota = Quota(name="load", concurrency=1)
        (passage,) = entered(rig.gate(quota, traffic=Traffic.BACKFILL))
        refused(rig.gate(quota))
        passage.unanswered(sent=True)
        call(rig.gate(quota))

    def test_writes_go_one_at_a_time_and_apart_and_reads_do_not(self, rig: Rig) -> None:
        rig.be_patient(Traffic.ACTION, 1.5)
        gate = rig.gate(Quota(name="spacing", write_spacing_seconds=1))
        (write,) = entered(gate, method="POST")
        refused(gate, "PUT")
        write.answered(201, {}, limited=False)
        answered_at = rig.now
        call(gate)
        assert rig.now == answered_at
        call(gate, method="DELETE")
        assert rig.now >= answered_at + 1
