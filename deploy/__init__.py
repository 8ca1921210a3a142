"""Everything that takes the project to production; the infrastructure on AWS is in `aws`."""
