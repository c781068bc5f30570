"""Components wired into the published architectures."""
