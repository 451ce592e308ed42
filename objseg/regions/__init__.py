"""Candidate regions of an image: boxes and segments, how they are proposed, and their features."""
