"""Runs one node: resolve its inputs, look in the cache, execute, publish. The same on every backend."""
