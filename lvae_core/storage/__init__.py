"""Places for small whole files: a local or shared folder, or an object store. Never imports torch."""
