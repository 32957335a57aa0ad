"""Custom properties that Penstock records on each output artifact."""

DIGEST_PROPERTY = "penstock_digest"
"""SHA-256 over the names and bytes of the payload's files; the cache compares contents by it."""

SIZE_PROPERTY = "penstock_bytes"
"""Size of the payload in bytes."""
