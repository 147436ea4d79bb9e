"""Waiting for jobs: their status, when to ask for it, and one listing for many."""
