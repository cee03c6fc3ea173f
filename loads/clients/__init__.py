"""The clients that tests use, measured."""
