"""Layouts whose images come in pairs: points of one object, or views of it, that correspond."""
