"""The database: schema, the one writer, transactions, and reading for people and programs."""
