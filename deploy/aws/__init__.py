"""The infrastructure on AWS as a CDK app: `app` assembles the two stacks, README.md explains them.

It imports sizes, hours and names of settings from polygon_assets, and nothing there imports it.
"""
