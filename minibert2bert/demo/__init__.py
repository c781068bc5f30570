"""A small trained checkpoint, so that the first command works offline, and how it was made."""

from minibert2bert.generation.pipeline import DEMO_FOLDER

__all__ = ["DEMO_FOLDER"]
