"""What is compared: the programs themselves, the obvious build of each, and what no build can beat."""
