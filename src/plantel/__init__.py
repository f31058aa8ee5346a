"""Plantel: the roster of a contact centre, kept true on Asterisk."""

__version__ = "0.1.0"
