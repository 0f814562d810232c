"""The suite every adapter gets.

For an adapter of your own, in or out of this repository::

    class TestAcme(AdapterContract):
        adapter = AcmeAdapter()
        fixtures = Path(__file__).parent / "fixtures" / "acme"
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from providers.spi import Adapter
from tests.contract import (
    action_checks,
    declaration_checks,
    ledger_checks,
    payload_checks,
    registrar_checks,
    signature_checks,
    stream_checks,
)
from tests.contract.subject import Subject

Check = Callable[[Subject], None]

CHECKS: tuple[Check, ...] = (
    declaration_checks.facts_are_complete,
    declaration_checks.manifest_is_sane,
    declaration_checks.quotas_can_be_kept,
    declaration_checks.schemas_are_schemas,
    declaration_checks.source_stays_in_its_place,
    signature_checks.schemes_are_declared_soundly,
    signature_checks.unsigned_door_needs_a_waiver,
    signature_checks.good_signature_is_accepted,
    signature_checks.missing_signature_is_refused,
    signature_checks.wrong_signature_is_refused,
    signature_checks.flipped_byte_in_the_body_is_refused,
    signature_checks.other_secret_is_refused,
    signature_checks.both_secrets_count_during_rotation,
    signature_checks.empty_secret_verifies_nothing,
    payload_checks.every_fixture_is_understood,
    payload_checks.repetition_has_the_same_keys,
    payload_checks.declared_events_have_fixtures,
    payload_checks.fixtures_hit_declared_events,
    payload_checks.order_is_declared_and_given,
    payload_checks.delivery_headers_deliver,
    payload_checks.unknown_events_are_ignored,
    payload_checks.thin_and_twisted_payloads_are_survived,
    payload_checks.bodies_that_are_no_object_are_unreadable,
    stream_checks.streams_read_to_the_end,
    stream_checks.a_run_goes_on_from_any_page,
    stream_checks.a_quiet_second_poll_is_one_request,
    stream_checks.a_window_limits_what_is_told,
    stream_checks.both_roads_name_a_happening_alike,
    stream_checks.failures_are_told_apart,
    stream_checks.twisted_answers_are_survived,
    stream_checks.credential_is_proven,
    registrar_checks.an_answer_lost_leaves_one_hook,
    registrar_checks.a_hook_takes_a_new_secret,
    registrar_checks.a_hook_removed_twice_is_gone,
    registrar_checks.a_refused_removal_is_told,
    registrar_checks.refusals_of_a_hook_are_told_apart,
    ledger_checks.a_hook_tells_how_it_stands,
    ledger_checks.a_hook_that_is_off_delivers_again,
    ledger_checks.refusals_about_a_hook_are_told_apart,
    ledger_checks.the_ledger_tells_every_attempt,
    ledger_checks.the_ledger_is_compared_by_keys_that_fit,
    ledger_checks.the_ledger_holds_what_was_sent,
    ledger_checks.what_is_asked_for_again_is_the_same_delivery,
    ledger_checks.refusals_of_a_ledger_are_told_apart,
    action_checks.actions_are_declared_soundly,
    action_checks.examples_fit_their_schemas,
    action_checks.a_command_is_one_request_with_one_effect,
    action_checks.an_effect_is_found_by_its_own_mark_only,
    action_checks.asking_again_has_no_second_effect,
    action_checks.looking_reads_only,
    action_checks.refusals_of_a_command_are_told_apart,
    action_checks.an_answer_nobody_can_read_is_no_success,
    action_checks.not_being_able_to_look_is_not_absence,
)

each_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)


class AdapterContract:
    """Subclass, name the adapter and its fixtures; every check becomes a test."""

    adapter: ClassVar[Adapter]
    fixtures: ClassVar[Path]

    @each_check
    def test_contract(self, check: Check) -> None:
        check(Subject.of(self.adapter, self.fixtures))
