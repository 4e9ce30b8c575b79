"""Source datasets in their official formats, to samples."""
