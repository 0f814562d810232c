"""Measures the service against the limits of the machine it runs on. Never part of a production process."""
