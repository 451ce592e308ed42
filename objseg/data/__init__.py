"""The data: ReferIt's raw files, the prepared data set, its expressions, pictures and masks."""
