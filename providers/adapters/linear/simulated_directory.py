"""Who and what the simulated workspace names: people, teams, labels, states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Body = dict[str, Any]

PEOPLE = ("Zoe", "Ravi", "Mina", "Olaf")
BOT = "bot"
TEAMS = ("ENG", "OPS")
STATES = {"Todo": "unstarted", "In Progress": "started", "Done": "completed", "Canceled": "canceled"}
LABELS = ("bug", "chore", "idea")


class Directory:
    def __init__(self, identified: Callable[[str], str]) -> None:
        """``identified`` gives the id of a name."""
        self.people: list[Body] = [
            {"id": identified(name), "name": name, "displayName": name.lower(), "email": f"{name.lower()}@acme.example"}
            for name in (*PEOPLE, BOT)
        ]
        self.teams: list[Body] = [{"id": identified(key), "key": key, "name": key.title()} for key in TEAMS]
        self.states: list[Body] = [
            {"id": identified(name), "name": name, "type": kind} for name, kind in STATES.items()
        ]
        # Those of the workspace, and one that only a team has.
        self.labels: list[Body] = [{"id": identified(name), "name": name} for name in LABELS]
        self.labels.append({"id": identified("pager"), "name": "pager", "team": self.team("OPS")})

    def team(self, key: str) -> Body:
        return dict(_one(self.teams, "key", key))

    def state(self, name: str) -> Body:
        return dict(_one(self.states, "name", name))

    def person(self, identity: str | None) -> Body | None:
        return dict(_one(self.people, "id", identity)) if identity else None


def _one(things: list[Body], member: str, value: str) -> Body:
    return next(thing for thing in things if thing[member] == value)
