"""Serving the sandbox: connections, access, faults, and the way of every request."""
