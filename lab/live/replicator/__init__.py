"""Global tables, live: tails every replica's stream, ships to the other regions, remembers in SQLite."""
