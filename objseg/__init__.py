"""Segmentation from natural language expressions."""
