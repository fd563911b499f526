"""What a user might write instead of this project, around the same networks."""
