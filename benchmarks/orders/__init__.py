"""The example backend's own benchmarks."""
