"""Actions that break their promise, each in one way."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, ClassVar

from providers.actions import Command, Done, WriteRequest
from providers.adapters.fake.actions import ACTIONS, CommentOnIssue, CreateIssue
from providers.adapters.fake.adapter import FakeAdapter
from providers.client import ClientConfig, ProviderClient, Response
from providers.errors import ProviderError, Rejected


class Loose(CreateIssue):
    """Lets out what must be given."""

    payload_fields: ClassVar = {"title": False, "body": False, "labels": False}


class Stingy(CreateIssue):
    """Takes no title of a useful length."""

    narrowed: ClassVar = {"title": {"maxLength": 3}}


class Eager(CreateIssue):
    """Writes while it only should say what would be written."""

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        asked = super().request(client, command)
        client.write(asked.method, asked.path, json=asked.json)
        return asked


class TakesAny(CreateIssue):
    """Any issue is its own."""

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        return Done(reference="ACME-1")


class Anew(CommentOnIssue):
    """Chooses another id each time."""

    ids = itertools.count()

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        asked = super().request(client, command)
        return WriteRequest(method="POST", path=asked.path, json={**asked.json, "id": f"c{next(self.ids)}"})


class Meddling(CreateIssue):
    """Looks by making another."""

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        asked = self.request(client, command)
        return self.done(command, client.write(asked.method, asked.path, json=asked.json))


class Trusting(CreateIssue):
    """Any answer is a success."""

    def done(self, command: Command, answer: Response) -> Done:
        return Done(reference="something")


class Blind(CreateIssue):
    """What it cannot see is not there."""

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        try:
            return super().find(client, command)
        except ProviderError:
            return None


class Blunt(FakeAdapter):
    """Every trouble is a refusal."""

    def client_config(
        self, settings: Mapping[str, Any], credential: Mapping[str, str], api_version: str
    ) -> ClientConfig:
        plain = super().client_config(settings, credential, api_version)
        return ClientConfig(
            base_url=plain.base_url,
            headers=plain.headers,
            classify=lambda answer: Rejected("No.", status=answer.status) if answer.status >= 400 else None,
        )


def acting(action: Any) -> FakeAdapter:
    """The fake adapter with this action in place of the one for its command."""
    others = tuple(one for one in ACTIONS if one.type != action.type)
    made: FakeAdapter = type("Acting", (FakeAdapter,), {"actions": (action, *others)})()
    return made


VICES = {
    "needs too little": (acting(Loose()), ("actions_are_declared_soundly",)),
    "takes no title": (acting(Stingy()), ("examples_fit_their_schemas",)),
    "writes beforehand": (acting(Eager()), ("a_command_is_one_request_with_one_effect",)),
    "takes any for its own": (acting(TakesAny()), ("an_effect_is_found_by_its_own_mark_only",)),
    "another id each time": (acting(Anew()), ("asking_again_has_no_second_effect",)),
    "looks by writing": (acting(Meddling()), ("looking_reads_only", "an_effect_is_found_by_its_own_mark_only")),
    "trusts any answer": (acting(Trusting()), ("an_answer_nobody_can_read_is_no_success",)),
    "unseen is not there": (acting(Blind()), ("not_being_able_to_look_is_not_absence",)),
    "every trouble a refusal": (Blunt(), ("refusals_of_a_command_are_told_apart",)),
}
