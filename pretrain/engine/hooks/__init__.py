"""The hooks that every run has."""
