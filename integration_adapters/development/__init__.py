"""What ``script/server`` and ``script/manage`` run on a developer's machine. Not used in production."""
