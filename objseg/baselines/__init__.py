"""The baseline methods of the paper's section 4.1, one module a method."""
