"""What the project costs, next to the alternatives and to the physical minimum."""
