"""Each fixture of each registered adapter against its golden file.

``pytest tests/contract/test_goldens.py --update-goldens`` writes the files; the review reads the diff.
UT-IA-03: normalisation of source-control events is shown here for every mapped event.
"""

from __future__ import annotations

import orjson
import pytest

from providers import registry
from tests.contract.subject import Fixture, Subject

SUBJECTS = {slug: Subject.of(registry.get(slug)) for slug in registry.slugs()}
PAIRS = [
    pytest.param(subject, fixture, id=f"{slug}-{fixture.name}")
    for slug, subject in SUBJECTS.items()
    for fixture in subject.fixtures()
]


@pytest.mark.parametrize(("subject", "fixture"), PAIRS)
def test_fixture_becomes_what_its_golden_file_says(
    subject: Subject, fixture: Fixture, request: pytest.FixtureRequest
) -> None:
    outcome = orjson.loads(orjson.dumps(subject.outcome(fixture)))
    if request.config.getoption("--update-goldens", default=False):
        text = orjson.dumps(outcome, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
        fixture.golden_path.write_bytes(text)
    assert fixture.golden_path.exists(), f"{fixture.golden_path.name} is missing; run with --update-goldens"
    assert outcome == orjson.loads(fixture.golden_path.read_bytes())
