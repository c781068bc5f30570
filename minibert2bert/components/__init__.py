"""The mathematics: one component a file, forward and backward together."""
