"""GitHub as its simulator plays it, and what its action tests ask it about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from providers.adapters.github.adapter import GitHubAdapter
from providers.adapters.github.simulator import Simulator
from tests.unit.providers.commanded import Commanded, commanded

ADAPTER = GitHubAdapter()
WEB = "acme/web"
ISSUE, PULL = {"issue_key": "acme/web#5"}, {"repository": WEB, "pr_number": 2}
HEAD = "2e83ad64ccbb8c120957c6c689e7733dd3f7cb5c"
EXAMPLES: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "contract" / "fixtures" / "github" / "actions.json").read_text()
)
COMMIT = {"repository": WEB, "commit": HEAD}
MADE = ("create_issue", "comment_on_issue", "comment_on_pr", "create_pr")
BRANCHES = {"source_branch": "topic", "target_branch": "main"}


@contextmanager
def github() -> Iterator[Commanded[Simulator]]:
    with commanded(ADAPTER, Simulator) as repository:
        yield repository
