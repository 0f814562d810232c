"""Staff forms whose validation is a service: what it refuses is shown at its field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms

from connections.errors import ServiceError

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Any]
else:
    ModelForm = forms.ModelForm


class ServiceForm(ModelForm):
    """Subclass with ``perform``. Used as the form of an admin page, with ``save_model`` doing nothing.

    The service runs once, at the end of cleaning, when every field is valid. The admin's change form runs
    in one transaction and nothing after cleaning can fail, so a service that has run is never half the work.
    """

    actor: ClassVar[str]
    fields_by_pointer: ClassVar[dict[str, str]] = {}
    """Form fields whose name differs from the name in the service's problems."""

    def perform(self, cleaned: dict[str, Any]) -> Any:
        """Do it and return the row. Raises ``ServiceError``."""
        raise NotImplementedError(f"{type(self).__name__} must define perform()")

    def clean(self) -> dict[str, Any]:
        cleaned = dict(super().clean() or {})
        if not self.errors:
            try:
                self.instance = self.perform(cleaned)
            except ServiceError as error:
                self._show(error)
        return cleaned

    def _post_clean(self) -> None:
        """The service has validated and saved; the row is not touched again."""

    def field_of(self, pointer: str) -> tuple[str | None, str]:
        """The field a JSON pointer of a problem leads to, and the place inside it."""
        name, *rest = pointer.lstrip("/").split("/")
        name = self.fields_by_pointer.get(name, name)
        return (name if name in self.fields else None), "/".join(rest)

    def _show(self, error: ServiceError) -> None:
        problems = error.details.get("problems", ())
        for problem in problems:
            field, place = self.field_of(problem["pointer"])
            reason = problem["reason"]
            self.add_error(field, f"{place}: {reason}" if place else f"{reason[:1].upper()}{reason[1:]}.")
        if not problems:
            self.add_error(None, error.message)
