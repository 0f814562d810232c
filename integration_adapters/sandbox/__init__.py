"""Simulated providers and a place for signals to arrive at. For development; refuses to run in production."""
