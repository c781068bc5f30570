"""The tutorials: their sources, and the commands that make notebooks and exercises of them."""
