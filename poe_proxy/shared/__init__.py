"""What several workers share: the way to Redis, and the one script that decides there."""
