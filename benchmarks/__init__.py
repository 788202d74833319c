"""What the project costs, each figure beside what a user could take instead or beside the physical floor."""
