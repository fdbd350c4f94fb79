"""A stand-in for Poe on localhost: both of its faces on one port, scripted by the prompt itself."""
