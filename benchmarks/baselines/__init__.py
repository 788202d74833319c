"""What a user could take instead, each written as its own documentation shows."""
