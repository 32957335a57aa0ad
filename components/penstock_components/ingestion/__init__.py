"""Ingestion on record batches of Arrow: ArrowExampleGen for files, SqlExampleGen for databases."""
