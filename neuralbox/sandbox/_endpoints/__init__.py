"""The documented endpoints, answered."""
