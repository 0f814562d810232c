"""Markdown becomes storage format that Confluence takes, and brings nothing of its own."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.adapters.confluence.simulated_writes import kept_text
from providers.adapters.confluence.storage import Bearer, bearer, storage

MARK = "6f1d9a52-0c1e-4b58-9a6a-1f3f5d1c2b3a"


def written(markdown: str) -> str:
    """The text, taken by the simulated site, without the anchor."""
    made = storage(markdown, MARK)
    kept_text({"body": {"representation": "storage", "value": made}})
    assert bearer(made, made, MARK) is Bearer.OURS
    return made.rpartition("<p><ac:structured-macro")[0].strip()


def test_blocks_and_words_are_written_as_xhtml() -> None:
    assert written("# T\n\na **b** *c* ~~d~~ `e`  \nf\n\n> g\n\n- h\n\n3. i\n\n---") == (
        "<h1>T</h1>\n<p>a <strong>b</strong> <em>c</em> <del>d</del> <code>e</code><br />\nf</p>\n"
        "<blockquote>\n<p>g</p>\n</blockquote>\n<ul>\n<li>h</li>\n</ul>\n"
        '<ol start="3">\n<li>i</li>\n</ol>\n<hr />'
    )


def test_code_is_a_macro_that_its_own_text_cannot_end() -> None:
    assert written("```python\nx = ']]>' < 1\n```") == (
        '<ac:structured-macro ac:name="code"><ac:parameter ac:name="language">python</ac:parameter>'
        "<ac:plain-text-body><![CDATA[x = ']]]]><![CDATA[>' < 1]]></ac:plain-text-body></ac:structured-macro>"
    )
    assert "language" not in written('```"><ac:x>\ny\n```')


def test_an_anchor_quoted_in_code_is_not_an_anchor() -> None:
    other = "0b0a0f7e-6a0e-4a55-8f36-0d6f9c1b2a3d"
    quoted = f'<ac:parameter ac:name="">integration-adapters-{other}</ac:parameter>'
    made = storage(f"```\n{quoted} ]]>\n{quoted}\n```\n\n{quoted}", MARK)
    assert bearer(made, made, other) is Bearer.ANOTHER


def test_the_same_words_without_an_anchor_may_be_ours() -> None:
    made = storage("Read **this**\n\n```\na < b\n```", MARK)
    bare = "<p>Read <b>this</b></p><pre>a &lt; b</pre>"
    assert bearer(bare, made, MARK) is Bearer.UNKNOWN
    assert bearer(f"{bare}<p>more</p>", made, MARK) is Bearer.ANOTHER
    assert bearer(storage("Read **this**\n\n```\na < b\n```", "another"), made, MARK) is Bearer.ANOTHER


def test_tables_have_no_styles() -> None:
    assert "<th>a</th>" in written("|a|b|\n|:-|-:|\n|1|2|")


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("<script>x</script>", "<p>&lt;script&gt;x&lt;/script&gt;</p>"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
        ("[x](/below)", "<p>[x](/below)</p>"),
        ("![p](https://x.example/p.png)", '<p><a href="https://x.example/p.png">p</a></p>'),
        (
            '![](https://x.example/"><b>)',
            '<p><a href="https://x.example/%22%3E%3Cb%3E">https://x.example/%22%3E%3Cb%3E</a></p>',
        ),
        ("@all &nbsp; a\x0bb&#12;", "<p>@all \xa0 ab</p>"),
        (
            '<ac:link><ri:user ri:account-id="1"/></ac:link>',
            "<p>&lt;ac:link&gt;&lt;ri:user ri:account-id=&quot;1&quot;/&gt;&lt;/ac:link&gt;</p>",
        ),
    ],
)
def test_hostile_texts_are_shown_as_text(markdown: str, shown: str) -> None:
    assert written(markdown) == shown


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab#>-*_`~[]()!|\\<&\"'@ \n1.:/]\x0b\ufffe", max_size=60))
def test_every_text_becomes_xhtml_that_confluence_takes(markdown: str) -> None:
    assert written(markdown) is not None
