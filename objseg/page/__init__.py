"""The page of tools/serve.py: pictures and phrases in, response maps and masks out."""
