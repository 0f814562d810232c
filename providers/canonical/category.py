"""Kinds of tools."""

from __future__ import annotations

from enum import StrEnum


class Category(StrEnum):
    """What kind of tool a provider is."""

    SCM = "SCM"
    ISSUE_TRACKER = "issue_tracker"
    CHAT = "chat"
    CI_CD = "ci_cd"
    OBSERVABILITY = "observability"
    KNOWLEDGE = "knowledge"
