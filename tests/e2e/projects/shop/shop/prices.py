"""What things cost, in cents: written by who knows, in a file of its own."""

import json
from pathlib import Path

PRICES = json.loads((Path(__file__).parent / "data" / "prices.json").read_text())
