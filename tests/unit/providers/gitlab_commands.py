"""GitLab as its simulator plays it, and what its action tests ask it about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from providers.adapters.gitlab.adapter import GitLabAdapter
from providers.adapters.gitlab.simulator import Simulator
from tests.unit.providers.commanded import Commanded, commanded

ADAPTER = GitLabAdapter()
WEB = "acme/web"
ISSUE, REQUEST = {"issue_key": "acme/web#72"}, {"repository": WEB, "pr_number": 75}
COMMIT = {"repository": WEB, "commit": "55c50e4bee4721d7f8b87edcebb769f94dc696d9"}
BRANCHES = {"source_branch": "topic", "target_branch": "main"}
MADE = ("create_issue", "comment_on_issue", "comment_on_pr", "create_pr")
EXAMPLES: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "contract" / "fixtures" / "gitlab" / "actions.json").read_text()
)


@contextmanager
def gitlab() -> Iterator[Commanded[Simulator]]:
    with commanded(ADAPTER, Simulator) as project:
        yield project
