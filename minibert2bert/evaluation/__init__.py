"""How good generated texts are, in numbers that others can repeat."""
