"""What a set of channels uses and costs in production, before it is put in force."""
