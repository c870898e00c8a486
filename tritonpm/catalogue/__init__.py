"""What we know and promised: SQLite, blobs, locks, journal. Knows no Triton."""
