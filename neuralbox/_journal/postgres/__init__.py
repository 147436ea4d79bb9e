"""The journal in PostgreSQL: one for all processes and machines that work on an account."""
