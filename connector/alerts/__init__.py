"""What people should hear of: found by looking at what stands in the database, told to them through Apprise."""
