"""What can be asked of Confluence Cloud: pages, new or changed, and comments on them.

Source: https://developer.atlassian.com/cloud/confluence/rest/v2/intro/, groups "Page", "Comment" and "Version".
Confluence takes no key for a request. There can be one page of a title in a space; a page is changed by the number of
the version it becomes; a comment carries a hidden anchor with our mark. A credential that is not accepted may see
what a visitor sees, so whoever looks for a mark first asks who asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from providers.actions import Command, Done, OneEffect, OutboundAction, WriteRequest
from providers.adapters.confluence import account
from providers.adapters.confluence.polling import CursorOfAddress, page_of
from providers.adapters.confluence.storage import Bearer, bearer, storage
from providers.canonical import JSON
from providers.canonical.action_types import ActionType
from providers.client import ProviderClient, Response
from providers.document import Document, compact
from providers.errors import ProviderFault, Rejected
from providers.finding import made_since
from providers.paging import Query

PAGES_PATH: Final = "api/v2/pages"
COMMENTS_PATH: Final = "api/v2/footer-comments"
SPACES_PATH: Final = "api/v2/spaces"
_LIST: Final = CursorOfAddress(size=50, size_in="limit")
_READ_PAGE: Final = "read:page:confluence"
_WRITE_PAGE: Final = "write:page:confluence"


_LIMITS: Final[dict[str, JSON]] = {
    "project": {"pattern": r"^~?[A-Za-z0-9:._-]{1,100}$"},
    **{name: {"pattern": r"^[1-9][0-9]{0,18}$"} for name in ("parent", "page_id", "comment_id")},
}


class _ConfluenceAction(OutboundAction):
    permissions: ClassVar[Sequence[str]] = (_WRITE_PAGE, _READ_PAGE)

    limits: ClassVar = _LIMITS

    def done(self, command: Command, answer: Response) -> Done:
        return _made(command, Document(answer.json()))


class CreatePage(_ConfluenceAction):
    """A title is there once in a space, so a page is not made twice; the mark tells ours from somebody else's."""

    type = ActionType.CREATE_PAGE
    one_effect = OneEffect.NATURAL_KEY
    permissions = (_WRITE_PAGE, _READ_PAGE, "read:space:confluence")
    notes = "The parent is a page's id. A title that is taken in the space is refused."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        payload = command.payload
        page = {
            "spaceId": _space(client, command.target["project"]),
            "status": "current",
            "title": payload["title"],
            "parentId": payload.get("parent"),
            "body": _stored(payload.get("body", ""), command.mark),
        }
        return WriteRequest(method="POST", path=PAGES_PATH, json=compact(page))

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        """Among what changed in the space since: somebody may have given it another title."""
        space = _space(client, command.target["project"])
        asked = {"space-id": space, "status": "current", "sort": "-modified-date", "body-format": "storage"}
        query = Query(path=PAGES_PATH, params=asked)
        for page in made_since(
            client, query, _LIST, items_at="/results", made_at="/version/createdAt", since=command.since
        ):
            if _is_ours(page, command, may_be=page.text("/title") == command.payload["title"]):
                return _made(command, page)
        return None


class UpdatePage(_ConfluenceAction):
    """Compare and set: the request names the version it makes. The mark stands in that version's message."""

    type = ActionType.UPDATE_PAGE
    one_effect = OneEffect.MARKER
    notes = "What is not given stays as it is. The page's history shows a message of ours beside the version."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        path = f"{PAGES_PATH}/{command.target['page_id']}"
        page = Document(client.get(path, params={"body-format": "storage"}).json())
        version, title, status = page.integer("/version/number"), page.text("/title"), page.text("/status")
        if version is None or not title or not status:
            raise ProviderFault("Confluence does not say which version the page has, or its title.")
        if status != "current":
            raise Rejected(f"The page is not current but {status}; it is not changed.")
        text = command.payload.get("body")
        body = _stored(text, command.mark) if text else {"representation": "storage", "value": _text_of(page)}
        changed = {
            "id": command.target["page_id"],
            "status": "current",
            "title": command.payload.get("title", title),
            "body": body,
            "version": {"number": version + 1, "message": _message(command)},
        }
        return WriteRequest(method="PUT", path=path, json=changed)

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        account.named(account.ask(client))
        page = command.target["page_id"]
        query = Query(path=f"{PAGES_PATH}/{page}/versions", params={"sort": "-modified-date"})
        versions = made_since(client, query, _LIST, items_at="/results", made_at="/createdAt", since=command.since)
        if all(version.text("/message") != _message(command) for version in versions):
            return None
        return _made(command, Document(client.get(f"{PAGES_PATH}/{page}").json()))


class CommentOnPage(_ConfluenceAction):
    type = ActionType.COMMENT_ON_PAGE
    one_effect = OneEffect.MARKER
    permissions = ("write:comment:confluence", "read:comment:confluence")
    notes = "Below the page; with comment_id, an answer to that comment."

    def request(self, client: ProviderClient, command: Command) -> WriteRequest:
        above = command.target.get("comment_id")
        place = {"parentCommentId": above} if above else {"pageId": command.target["page_id"]}
        body = _stored(command.payload["body"], command.mark)
        return WriteRequest(method="POST", path=COMMENTS_PATH, json={**place, "body": body})

    def find(self, client: ProviderClient, command: Command) -> Done | None:
        account.named(account.ask(client))
        above = command.target.get("comment_id")
        path = (
            f"{COMMENTS_PATH}/{above}/children"
            if above
            else f"{PAGES_PATH}/{command.target['page_id']}/footer-comments"
        )
        query = Query(path=path, params={"sort": "-created-date", "body-format": "storage"})
        ours = None
        # The list tells the time of the last change, which is never before the making.
        for comment in made_since(
            client, query, _LIST, items_at="/results", made_at="/version/createdAt", since=command.since
        ):
            # The oldest: a later one may be a copy of it.
            ours = comment if _is_ours(comment, command) else ours
        return _made(command, ours) if ours else None


ACTIONS: Final = (CreatePage(), UpdatePage(), CommentOnPage())


def _space(client: ProviderClient, project: str) -> str:
    """Id of the space with this key, or the id that was given."""
    answer = Document(client.get(SPACES_PATH, params={"keys": project}).json())
    if not isinstance(answer.at("/results"), list):
        raise ProviderFault("Confluence's answer holds no list of spaces.")
    for space in answer.items("/results"):
        if (space.text("/key") or "").casefold() == project.casefold():
            found = space.text("/id")
            if found:
                return found
    if project.isdigit():
        return project
    raise Rejected(f"There is no space {project!r}, or not for this account.")


def _stored(text: str, mark: str) -> dict[str, str]:
    return {"representation": "storage", "value": storage(text, mark)}


def _is_ours(content: Document, command: Command, *, may_be: bool = True) -> bool:
    """By its mark. ``may_be``: without any mark, the same words leave it open."""
    wanted = storage(command.payload.get("body", ""), command.mark)
    found = bearer(_text_of(content), wanted, command.mark)
    if found is Bearer.UNKNOWN and may_be:
        raise ProviderFault("A content with the same words carries no mark; whether it is ours cannot be told.")
    return found is Bearer.OURS


def _text_of(item: Document) -> str:
    """The stored text, whole. Without it nobody can tell whose it is."""
    value: Any = item.at("/body/storage/value")
    if not isinstance(value, str):
        raise ProviderFault("Confluence shows a content without its text.")
    return value


def _message(command: Command) -> str:
    return f"integration-adapters {command.mark}"


def _made(command: Command, content: Document) -> Done:
    own, path, base = content.text("/id"), content.text("/_links/webui"), content.text("/_links/base")
    if not own:
        raise ProviderFault("Confluence does not say what it made.")
    site = f"{base.rstrip('/')}/{path.lstrip('/')}" if base and path else ""
    return Done(reference=own, url=page_of(command.settings, path) or site)
