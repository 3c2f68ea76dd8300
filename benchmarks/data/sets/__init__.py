"""Layouts whose images come in sets: one object, seen several times while one factor varies."""
