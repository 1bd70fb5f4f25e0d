"""The kit for plugin authors: conformance checks, phantoms, a plugin for pytest."""
