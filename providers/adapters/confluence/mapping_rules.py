"""What each event of Confluence becomes.

Source: https://confluence.atlassian.com/doc/managing-webhooks-1021225606.html (events of Data Center).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from providers.canonical import SignalType

EVENTS: Final[Mapping[str, SignalType]] = {
    "page_created": SignalType.PAGE_CREATED,
    "page_copied": SignalType.PAGE_CREATED,
    "page_updated": SignalType.PAGE_UPDATED,
    "page_moved": SignalType.PAGE_MOVED,
    "page_trashed": SignalType.PAGE_DELETED,
    "page_removed": SignalType.PAGE_PURGED,
    "page_restored": SignalType.PAGE_RESTORED,
    "page_archived": SignalType.PAGE_ARCHIVED,
    "page_unarchived": SignalType.PAGE_UNARCHIVED,
    "blog_created": SignalType.BLOG_CREATED,
    "blog_updated": SignalType.BLOG_UPDATED,
    "blog_trashed": SignalType.BLOG_DELETED,
    "blog_removed": SignalType.BLOG_PURGED,
    "comment_created": SignalType.PAGE_COMMENTED,
    "comment_updated": SignalType.PAGE_COMMENT_UPDATED,
    "comment_removed": SignalType.PAGE_COMMENT_DELETED,
    "attachment_created": SignalType.PAGE_ATTACHMENT_ADDED,
    "attachment_updated": SignalType.PAGE_ATTACHMENT_UPDATED,
    "attachment_removed": SignalType.PAGE_ATTACHMENT_REMOVED,
    "attachment_trashed": SignalType.PAGE_ATTACHMENT_REMOVED,
    "label_added": SignalType.PAGE_LABELED,
    "label_removed": SignalType.PAGE_UNLABELED,
    "space_created": SignalType.SPACE_CREATED,
    "space_updated": SignalType.SPACE_UPDATED,
    "space_removed": SignalType.SPACE_DELETED,
}
_UNMAPPED: Final = "No canonical signal for this event."
_REASONS: Final = {
    **dict.fromkeys(
        ("content_created", "content_updated", "content_removed"),
        "It tells of pages, comments and properties alike; events of their own tell of the first two.",
    ),
    "page_children_reordered": "Only the order of the pages below it changed.",
    "page_viewed": "Somebody read a page; nothing changed.",
}


def reason(event_type: str) -> str:
    """Why an event becomes no signal."""
    return _REASONS.get(event_type, _UNMAPPED)
