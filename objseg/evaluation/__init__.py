"""Scoring the methods (Table 1), timing them (Table 2), and the report."""
