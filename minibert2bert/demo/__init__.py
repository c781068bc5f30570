"""A small trained checkpoint, so that the first command works offline, and how it was made."""

from pathlib import Path

DEMO_FOLDER = Path(__file__).parent
"""Where the demo model's files are."""
