"""What the staff pages of every app are built from: cheap lists, read-only evidence, verbs that ask first."""
