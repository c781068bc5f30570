"""The commands of the command line, one a file; add describes it, run does it."""
