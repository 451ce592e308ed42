"""The results of an evaluation: Table 1 on the terminal, results.json, samples.csv, report.html."""
