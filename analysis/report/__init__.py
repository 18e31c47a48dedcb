"""A report as one value: tables, pictures, sentences and provenance of what has finished."""
