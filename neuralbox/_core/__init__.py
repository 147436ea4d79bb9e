"""The send loop and what it needs: one exchange, retries, credentials, session refresh, call events."""
