"""People and actions: the staff pages, the verbs of doubt, the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as deployment
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from actions import review
from actions.catalogue import documents
from actions.checks import check_action_times
from actions.models import ActionStatus, NormalisedAction
from actions.retention import purge_actions
from connections.errors import ServiceError
from connections.models import Receipt
from tests.factories import ACME, make_action, make_connection
from tests.staff import auditor, operator, page_of
from tests.tracker import Tracker, answer_lost, running_tracker, work

pytestmark = pytest.mark.django_db
LIST = "/admin/actions/normalisedaction/"


@pytest.fixture
def tracker() -> Iterator[Tracker]:
    with running_tracker() as running:
        yield running


def doubtful(tracker: Tracker) -> NormalisedAction:
    """A build that may have been started."""
    tracker.vices = [answer_lost]
    manage("action", str(tracker.connect().pk), "trigger_pipeline", target={"project": "ACME"}, payload={"branch": "b"})
    action = NormalisedAction.objects.get()
    assert action.status == ActionStatus.NEEDS_REVIEW
    return action


def manage(*words: str, **options: Any) -> str:
    out = StringIO()
    call_command(*words, stdout=out, **options)
    return out.getvalue()


def test_a_person_says_that_it_was_done(tracker: Tracker) -> None:
    action = doubtful(tracker)
    client = operator()
    assert b"It was done" in client.get(page_of(action)).content
    client.post(page_of(action, "it-was-done"), {"reason": "Build b1 runs.", "reference": "b1", "url": ""})
    action.refresh_from_db()
    assert (action.status, action.result["reference"], action.in_doubt) == (ActionStatus.COMPLETED, "b1", False)
    assert "Build b1 runs." in action.evidence[-1]["message"]
    assert sorted(Receipt.objects.values_list("outcome", flat=True)) == ["completed", "needs_review"]


def test_a_person_says_that_it_was_not_done(tracker: Tracker) -> None:
    action = review.it_was_not_done(doubtful(tracker).pk, actor="staff:zoe", reason="No build there.")
    action.refresh_from_db()
    assert (action.status, action.reviewed_by) == (ActionStatus.FAILED, "staff:zoe")
    work()
    assert len(tracker.writes) == 1


def test_a_person_has_it_tried_again_and_that_is_another_receipt(tracker: Tracker) -> None:
    action = doubtful(tracker)
    review.try_again(action.pk, actor="staff:zoe", reason="No build there.")
    work()
    action.refresh_from_db()
    assert action.status == ActionStatus.COMPLETED
    assert len(tracker.writes) == 2
    assert sorted(Receipt.objects.values_list("outcome", flat=True)) == ["completed", "needs_review"]


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_what_is_over_is_not_decided_again(tracker: Tracker, status: str) -> None:
    action = make_action(tracker.connect(), status=status)
    with pytest.raises(ServiceError, match="nothing to decide"):
        review.it_was_done(action.pk, actor="staff:zoe", reason="I saw it.")


def test_an_auditor_reads_and_decides_nothing(tracker: Tracker) -> None:
    action = doubtful(tracker)
    client = auditor()
    assert b"It was done" not in client.get(page_of(action)).content
    assert client.post(page_of(action, "it-was-done"), {"reason": "I saw it."}).status_code == 403
    action.refresh_from_db()
    assert action.status == ActionStatus.NEEDS_REVIEW


def test_staff_run_a_command_and_a_worker_sends_it(tracker: Tracker) -> None:
    connection = tracker.connect()
    client = operator()
    form = {
        "connection": str(connection.pk),
        "canonical_type": "comment_on_issue",
        "target": '{"issue_key": "ACME-1"}',
        "payload": '{"body": "Seen."}',
        "idempotency_key": "staff-1",
    }
    assert client.post(f"{LIST}add/", form).status_code == 302
    # The page is one transaction, so nothing may have been sent from inside it.
    assert tracker.effects() == []
    work()
    assert len(tracker.effects()) == 1
    assert NormalisedAction.objects.get().requested_by.startswith("staff:")
    refused = client.post(f"{LIST}add/", {**form, "idempotency_key": "staff-2", "payload": '{"text": "Seen."}'})
    assert refused.status_code == 200
    assert NormalisedAction.objects.count() == 1


def test_the_command_line_shows_what_would_be_sent_and_sends_it(tracker: Tracker) -> None:
    words = ("action", str(tracker.connect().pk), "create_issue")
    asked = {"target": {"project": "ACME"}, "payload": {"title": "Door sticks"}}
    told = json.loads(manage(*words, **asked, dry_run=True))
    assert told["request"]["body"]["title"] == "Door sticks"
    assert tracker.effects() == []
    done = json.loads(manage(*words, **asked, key="once"))
    assert done["status"] == "completed"
    assert json.loads(manage(*words, **asked, key="once"))["action_id"] == done["action_id"]
    assert len(tracker.effects()) == 1
    assert done["action_id"] in manage("action", list=True)


def test_the_command_line_says_what_is_wrong(tracker: Tracker) -> None:
    with pytest.raises(CommandError, match="/payload"):
        manage("action", str(tracker.connect().pk), "create_issue", target={"project": "ACME"}, payload={})


def test_nobody_edits_or_deletes_an_action(admin_client: Client) -> None:
    action = make_action(make_connection())
    assert admin_client.post(page_of(action), {"tenant_id": "other"}).status_code == 403
    assert admin_client.post(page_of(action, "delete"), {"post": "yes"}).status_code == 403
    action.refresh_from_db()
    assert action.tenant_id == ACME


def test_old_actions_go_and_those_for_a_person_stay(tracker: Tracker) -> None:
    connection = make_connection()
    old = timezone.now() - timedelta(days=deployment.ACTION_RETENTION_DAYS + 1)
    gone = make_action(connection, completed_at=old)
    kept = [
        make_action(connection, completed_at=timezone.now()),
        make_action(connection, status="needs_review", completed_at=None),
    ]
    assert purge_actions() == 1
    assert set(NormalisedAction.objects.values_list("pk", flat=True)) == {action.pk for action in kept}
    assert gone.pk not in {action.pk for action in kept}


@pytest.mark.parametrize(
    ("name", "value", "finding"),
    [
        ("ACTION_ATTEMPT_SECONDS", 60.0, "actions.E001"),
        ("ACTION_SYNC_SECONDS", 31.0, "actions.E002"),
        ("ACTION_GIVE_UP_SECONDS", 100, "actions.E003"),
    ],
)
def test_times_that_contradict_each_other_are_refused_at_boot(
    settings: Any, name: str, value: float, finding: str
) -> None:
    assert check_action_times() == []
    setattr(settings, name, value)
    assert finding in {problem.id for problem in check_action_times()}


def test_the_published_commands_are_those_of_the_code() -> None:
    for path, content in documents().items():
        assert (Path(deployment.BASE_DIR) / path).read_text() == content, "run: ./script/manage export_actions"
