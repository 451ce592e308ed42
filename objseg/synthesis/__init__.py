"""Synthetic scenes with referring expressions, in ReferIt's raw layout: the embedded data set."""
