"""Sources: what lies in a file, a folder, a glob or an S3 prefix, read into records and what is none."""
