"""Sphinx configuration."""

import sys
from pathlib import Path

import loads

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "Loads"
project_copyright = "the Loads contributors"
version = release = loads.__version__

extensions = ["sphinx.ext.autodoc", "command_tables", "protocol_tables", "rights_tables"]
exclude_patterns = ["_build"]

html_theme = "alabaster"
html_theme_options = {"description": "Turn functional tests into load tests."}
