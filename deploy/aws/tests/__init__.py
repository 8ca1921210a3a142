"""What `make deploy-check` proves of the infrastructure, without an account and a network."""
