"""Gradients to better parameters."""
