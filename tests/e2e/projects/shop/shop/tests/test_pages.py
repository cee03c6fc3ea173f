"""Needs all of its project, a file that is beside it, and a library that nobody has."""

from pathlib import Path

import loads_sample_library
from helpers import check

from loads import TestCase

from ..pages import PAGES

WORDS = Path(__file__).parents[2] / "words.txt"


class TestPages(TestCase):
    def test_pages(self):
        for page in PAGES:
            check(self.session.get(self.server_url + page))
        self.incr_counter("words", len(WORDS.read_text().split()))
        self.incr_counter(loads_sample_library.NAME)
