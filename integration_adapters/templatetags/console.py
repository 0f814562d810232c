"""The console's ways of showing values, for templates."""

from __future__ import annotations

from django import template

from providers.console.display import age, capability_words, error_line

register = template.Library()
register.filter("age", age)
register.filter("error_line", error_line)
register.filter("capability_words", capability_words)
