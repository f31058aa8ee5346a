"""Shipped stand-ins: each passes the same contract tests as the real thing it stands for."""
