"""What the web server loads: the WSGI application, in a process that says every few seconds that it runs.

Whoever only wants to call the application, such as a test, takes it from ``integration_adapters.wsgi``.
"""

from integration_adapters.wsgi import application as application
from webhooks.ingress import keep_beating

keep_beating()
