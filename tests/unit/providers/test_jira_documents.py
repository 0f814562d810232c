"""Markdown becomes a document that Jira takes, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.adapters.jira.adf import plain_text
from providers.adapters.jira.adf_writing import document
from providers.adapters.jira.simulated_document import is_document


def first(markdown: str) -> Any:
    return document(markdown)["content"][0]


def test_blocks_become_their_nodes() -> None:
    text = "# Title\n\ntext\n\n> quote\n\n- a\n- b\n\n3. c\n\n```python\nx = 1\n```\n\n---\n\n|a|b|\n|-|-|\n|1|2|\n"
    kinds = [block["type"] for block in document(text)["content"]]
    assert kinds == [*("heading", "paragraph", "blockquote", "bulletList", "orderedList", "codeBlock", "rule", "table")]
    assert first("### Small")["attrs"] == {"level": 3}
    assert first("3. c")["attrs"] == {"order": 3}
    assert first("```python\nx = 1\n```") == {
        "type": "codeBlock",
        "attrs": {"language": "python"},
        "content": [{"type": "text", "text": "x = 1"}],
    }


def test_words_carry_their_marks() -> None:
    words = first("a **b** *c* ~~d~~ `e` [f](https://x.example)")["content"]
    marks = {word["text"]: [mark["type"] for mark in word["marks"]] for word in words if "marks" in word}
    assert marks == {"b": ["strong"], "c": ["em"], "d": ["strike"], "e": ["code"], "f": ["link"]}


def test_code_inside_bold_is_code_alone_and_inside_a_link_is_both() -> None:
    assert first("**`a`**")["content"] == [{"type": "text", "text": "a", "marks": [{"type": "code"}]}]
    linked = first("[`a`](https://x.example)")["content"][0]["marks"]
    assert [mark["type"] for mark in linked] == ["link", "code"]


@pytest.mark.parametrize(
    "markdown",
    [
        "<script>alert(1)</script>",
        "<!-- hidden -->",
        "[click](javascript:alert(1))",
        "![](data:text/html;base64,PHNjcmlwdD4=)",
        "@all [~accountid:5b10zoe] {code}*x*{code}",
        "[a]: https://x.example",
        "- # heading\n- > quote\n  > > deeper\n- ---\n-",
        "> # heading\n> |a|b|\n> |-|-|\n> |1|2|",
        "![]()",
        "```\n```",
        "#",
        ">",
        "[](https://x.example)",
        "**[a](https://x.example)[b](mailto:z@x.example)** [c](/below) [d](https://[x)",
    ],
)
def test_hostile_and_odd_texts_are_shown_as_text(markdown: str) -> None:
    made = document(markdown)
    assert is_document(made)
    assert plain_text(made) is not None or markdown in ("```\n```", "#", ">", "![]()", "[](https://x.example)")
    assert links(made) <= {"https", "mailto"}


def links(node: Any) -> set[str]:
    own = {mark["attrs"]["href"].partition(":")[0] for mark in node.get("marks", ()) if mark["type"] == "link"}
    return own.union(*map(links, node.get("content", ())))


def test_html_stays_visible() -> None:
    assert plain_text(document("a <b>bold</b> <script>x</script>")) == "a <b>bold</b> <script>x</script>"


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab#>-*_`~[]()!|\\<&@ \n1.:/", max_size=60).filter(str.strip))
def test_every_text_becomes_a_document_jira_takes(markdown: str) -> None:
    assert is_document(document(markdown))
