"""Authentication, and rate limits."""
