from actions.catalogue import documents
from events.management.commands.export_catalogue import Command as ExportCommand


class Command(ExportCommand):
    help = "Write docs/actions.md from code."
    documents = staticmethod(documents)
