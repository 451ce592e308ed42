"""What an evaluation leaves: Table 1 on the terminal, results.json, samples.csv, report.html."""
