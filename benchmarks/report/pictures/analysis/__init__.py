"""Figures of the analyses, drawn from their records."""
